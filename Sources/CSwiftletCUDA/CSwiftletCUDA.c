// Embeds the CUDA kernels with C23's #embed, as CSwiftletWebPage does its page.
//
// Owned by this target alone. Invariant: every file of kernels/ is in the table once.
#include "CSwiftletCUDA.h"

#include <string.h>

static const char swiftlet_cu[] = {
#embed "kernels/swiftlet.cu" suffix(, 0)
};
static const char attention_cuh[] = {
#embed "kernels/attention.cuh" suffix(, 0)
};
static const char attention_decode_cu[] = {
#embed "kernels/attention_decode.cu" suffix(, 0)
};
static const char attention_prefill_cu[] = {
#embed "kernels/attention_prefill.cu" suffix(, 0)
};
static const char batch_cuh[] = {
#embed "kernels/batch.cuh" suffix(, 0)
};
static const char device_cuh[] = {
#embed "kernels/device.cuh" suffix(, 0)
};
static const char epilogue_cuh[] = {
#embed "kernels/epilogue.cuh" suffix(, 0)
};
static const char experts_cu[] = {
#embed "kernels/experts.cu" suffix(, 0)
};
static const char experts_cuh[] = {
#embed "kernels/experts.cuh" suffix(, 0)
};
static const char linear_cu[] = {
#embed "kernels/linear.cu" suffix(, 0)
};
static const char norm_cu[] = {
#embed "kernels/norm.cu" suffix(, 0)
};
static const char ptx_cuh[] = {
#embed "kernels/ptx.cuh" suffix(, 0)
};
static const char quantized_cu[] = {
#embed "kernels/quantized.cu" suffix(, 0)
};
static const char quantized_cuh[] = {
#embed "kernels/quantized.cuh" suffix(, 0)
};
static const char quantized_product_cuh[] = {
#embed "kernels/quantized_product.cuh" suffix(, 0)
};
static const char rope_cu[] = {
#embed "kernels/rope.cu" suffix(, 0)
};
static const char sample_cu[] = {
#embed "kernels/sample.cu" suffix(, 0)
};
static const char shapes_cuh[] = {
#embed "kernels/shapes.cuh" suffix(, 0)
};
static const char steps_cu[] = {
#embed "kernels/steps.cu" suffix(, 0)
};

static const struct {
    const char *name, *text;
    size_t size;
} files[] = {
    {"swiftlet.cu", swiftlet_cu, sizeof swiftlet_cu - 1},
    {"attention.cuh", attention_cuh, sizeof attention_cuh - 1},
    {"attention_decode.cu", attention_decode_cu, sizeof attention_decode_cu - 1},
    {"attention_prefill.cu", attention_prefill_cu, sizeof attention_prefill_cu - 1},
    {"batch.cuh", batch_cuh, sizeof batch_cuh - 1},
    {"device.cuh", device_cuh, sizeof device_cuh - 1},
    {"epilogue.cuh", epilogue_cuh, sizeof epilogue_cuh - 1},
    {"experts.cu", experts_cu, sizeof experts_cu - 1},
    {"experts.cuh", experts_cuh, sizeof experts_cuh - 1},
    {"linear.cu", linear_cu, sizeof linear_cu - 1},
    {"norm.cu", norm_cu, sizeof norm_cu - 1},
    {"ptx.cuh", ptx_cuh, sizeof ptx_cuh - 1},
    {"quantized.cu", quantized_cu, sizeof quantized_cu - 1},
    {"quantized.cuh", quantized_cuh, sizeof quantized_cuh - 1},
    {"quantized_product.cuh", quantized_product_cuh, sizeof quantized_product_cuh - 1},
    {"rope.cu", rope_cu, sizeof rope_cu - 1},
    {"sample.cu", sample_cu, sizeof sample_cu - 1},
    {"shapes.cuh", shapes_cuh, sizeof shapes_cuh - 1},
    {"steps.cu", steps_cu, sizeof steps_cu - 1},
};

static const int file_count = sizeof files / sizeof files[0];

const char *swiftlet_cuda_source(const char *name, size_t *size) {
    for (int index = 0; index < file_count; index++) {
        if (strcmp(files[index].name, name) != 0) continue;
        if (size) *size = files[index].size;
        return files[index].text;
    }
    if (size) *size = 0;
    return NULL;
}

const char *swiftlet_cuda_source_name(int index) {
    return index >= 0 && index < file_count ? files[index].name : NULL;
}

/// ncclUniqueId.
typedef struct {
    char bytes[128];
} unique_id;

int swiftlet_nccl_init_rank(void *function, void **communicator, int ranks, const char id[128], int rank) {
    unique_id value;
    memcpy(value.bytes, id, sizeof value.bytes);
    return ((int (*)(void **, int, unique_id, int))function)(communicator, ranks, value, rank);
}

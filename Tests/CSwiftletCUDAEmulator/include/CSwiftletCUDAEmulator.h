// A CUDA driver, NVRTC, cublasLt and NCCL for machines without a GPU: kernels are compiled by clang++ as plain C++ and run as
// one fiber a CUDA thread. For tests alone.
//
// What it checks that a GPU would not: memory ends at a page that can't be touched and is filled with NaN; shared memory
// is NaN before each block; barriers and collectives that not all threads reach, or reach at different places; vectors
// that are not aligned; work that nobody waited for (streams do nothing until they are waited for); several orders of
// threads. What it does not: the inline PTX itself, weak memory, speed.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CSwiftletCUDAChecks.h"

#ifdef __cplusplus
extern "C" {
#endif

/// The address of a function of libcuda, NVRTC, cublasLt or NCCL, by its exported name; NULL for what is not emulated.
void *_Nullable swiftlet_emulated_symbol(const char *_Nonnull name);

enum {
    /// Orders of threads, of all later launches: from one collective to the next, upwards or downwards; warp by warp, as
    /// far as each gets; by chance.
    SWIFTLET_ORDER_UP = 0,
    SWIFTLET_ORDER_DOWN = 1,
    SWIFTLET_ORDER_WARP_UP = 2,
    SWIFTLET_ORDER_WARP_DOWN = 3,
    SWIFTLET_ORDER_RANDOM = 4,
    SWIFTLET_ORDERS = 5,
};
void swiftlet_emulator_set_thread_order(int order);

/// Memory of each device in bytes; 1 GiB at first.
void swiftlet_emulator_set_memory(size_t bytes);

/// Objects that were made and not released: allocations, pinned memory, streams, events, modules, graphs.
int swiftlet_emulator_live_objects(void);

/// What the last failed launch of this thread did wrong, or an empty text.
const char *_Nonnull swiftlet_emulator_message(void);

/// Whether there is a compiler to run kernels with.
int swiftlet_emulator_is_available(void);

/// How many kernels have run, on all devices.
uint64_t swiftlet_emulator_launches(void);

/// What is replaced in a file of the kernels before it is compiled.
struct swiftlet_emulator_mutation {
    const char *_Nonnull file, *_Nonnull from, *_Nonnull to;
};

/// Compiles the kernels that a check of CSwiftletCUDAChecks is of, and runs it in this order of threads, on a device of
/// its own. As swiftlet_cuda_check; -2: they do not compile, or the mutation's text is not there.
int swiftlet_emulator_check(const char *_Nonnull name, const struct swiftlet_cuda_shapes *_Nonnull shapes, int order,
                            const struct swiftlet_emulator_mutation *_Nullable mutation, char *_Nonnull text, size_t bytes);

#ifdef __cplusplus
}
#endif

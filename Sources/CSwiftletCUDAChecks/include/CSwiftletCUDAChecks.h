// Checks of the CUDA kernels against plain loops in C, for `swiftlet selftest` on a GPU and for tests on the emulated
// driver: shapes at the edges, memory that ends where an operand does, garbage wherever nothing must be read.
//
// Owner: Sources/Swiftlet/Backend/CUDA. Invariant: what the kernels get and must give depends on the shapes alone.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Functions of the CUDA driver, by the types of cuda.h, for a thread whose context is current.
struct swiftlet_cuda_calls {
    int (*_Nonnull allocate)(uint64_t *_Nonnull address, size_t bytes);
    int (*_Nonnull free)(uint64_t address);
    int (*_Nonnull copy_in)(uint64_t to, const void *_Nonnull from, size_t bytes);  // cuMemcpyHtoD
    int (*_Nonnull copy_out)(void *_Nonnull to, uint64_t from, size_t bytes);       // cuMemcpyDtoH
    int (*_Nonnull synchronize)(void *_Nullable stream);
    int (*_Nonnull find)(void *_Nullable *_Nonnull function, void *_Nonnull module, const char *_Nonnull name);
    int (*_Nonnull launch)(void *_Nonnull function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                           unsigned block_y, unsigned block_z, unsigned shared_bytes, void *_Nullable stream,
                           void *_Nullable *_Nullable arguments, void *_Nullable *_Nullable extra);
};

/// What a module was compiled for: its -D options.
struct swiftlet_cuda_shapes {
    bool compute_float;
    bool kv_fp8;
    int head_dim, query_heads, kv_heads, query_group, skipped_query_heads, block_size;
};

/// The name of a check; NULL behind the last one.
const char *_Nullable swiftlet_cuda_check_name(int index);

/// The program whose kernels this check runs.
const char *_Nonnull swiftlet_cuda_check_program(int index);

/// Runs a check. `module` is that program's. `size` is how much of it: 1 takes a fraction of a second on a GPU, 0 is short enough for an emulated one.
/// Returns 0; a status of the driver; or -1 for a wrong result. `text` [bytes] becomes what is wrong, or what was compared.
int swiftlet_cuda_check(int index, const struct swiftlet_cuda_calls *_Nonnull calls, void *_Nonnull module,
                        const struct swiftlet_cuda_shapes *_Nonnull shapes, int size, char *_Nonnull text, size_t bytes);

#ifdef __cplusplus
}
#endif

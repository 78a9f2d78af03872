// The CUDA kernels as text, for a compiler that is found at run time; and the one call that Swift can't make.
//
// Owner: Sources/Swiftlet/Backend/CUDA. Invariant: nothing of CUDA is needed to build this.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The text of a file of kernels/, which ends with a zero, and in `size` how long it is before that; NULL for an unknown
/// name. swiftlet.cu and quantized.cu are programs and include others by their names.
const char *_Nullable swiftlet_cuda_source(const char *_Nonnull name, size_t *_Nullable size);

/// The name of a file, by number; NULL behind the last one.
const char *_Nullable swiftlet_cuda_source_name(int index);

/// Calls ncclCommInitRank, which takes the unique id by value, and returns its result.
int swiftlet_nccl_init_rank(void *_Nonnull function, void *_Nullable *_Nonnull communicator, int ranks,
                            const char id[_Nonnull 128], int rank);

#ifdef __cplusplus
}
#endif

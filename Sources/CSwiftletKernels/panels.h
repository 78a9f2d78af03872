// panels.h: shares out the panels of many matrices, all of them at once, to whoever packs them from a checkpoint's
// quantised tensors. Owner: the CPU backend. panels.c implements it; pack_int4.c and pack_bytes.c use it.
// Invariant: every panel of every matrix is given to exactly one task.

#pragma once

#include "kernels.h"

/// Packs panels first..<end of matrix `index`.
typedef void (*swiftlet_panels_task)(void *context, int32_t index, int32_t first, int32_t end, int32_t thread);

/// One matrix to pack, and the mapped tensors it comes from: they are read ahead, and let go of when it is done.
typedef struct {
    const swiftlet_matrix *matrix;
    const swiftlet_mapping *mappings;
    int32_t mapping_count;
} swiftlet_panels;

/// False when there is no memory for the list of the work.
bool swiftlet_for_panels(swiftlet_cpu *cpu, const swiftlet_panels *panels, int32_t count, swiftlet_panels_task task,
                         void *context);

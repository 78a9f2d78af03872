// format.h: what a weight format knows about its panels: how large they are, how rows get into them and out again.
// pack.c and matrix.c do the rest for all formats alike. Owner: format_*.c, one per format.
// Invariant: a row's words, scales included, depend on that row alone, however rows are grouped.

#pragma once

#include "kernels.h"

enum { PACK_GROUP_ROWS = 16 };  // rows are packed side by side: as many streams as the hardware foresees

/// Rows of a checkpoint's tensor that go to neighbouring lanes of one panel.
typedef struct {
    const swiftlet_cpu *cpu;
    const swiftlet_matrix *matrix;
    const uint8_t *source;     // the matrix's columns of the first row; any alignment
    size_t row_bytes;          // from row to row of the source
    const uint8_t *whole_row;  // all columns of the first row
    int32_t whole_columns;
    swiftlet_source type;
    int32_t rows;      // 1...rows_at_once of the format
    uint32_t *panel;   // the whole panel
    int32_t lane;      // of the first row, 0..<64
} pack_group;

typedef struct {
    /// Rows of a group, a power of two: all that share memory, or as many as are fast.
    int32_t rows_at_once;
    /// Words from panel to panel.
    size_t (*panel_words)(const swiftlet_matrix *matrix);
    void (*pack)(const pack_group *group);
    /// x[columns] = the row in this lane.
    void (*read_row)(const swiftlet_matrix *matrix, const uint32_t *panel, int32_t lane, float *x);
} swiftlet_format;

extern const swiftlet_format swiftlet_format_native;
extern const swiftlet_format swiftlet_format_int8;
extern const swiftlet_format swiftlet_format_int4;

/// NULL for a format without kernels.
const swiftlet_format *swiftlet_format_of(const swiftlet_matrix *matrix);

static inline size_t swiftlet_source_bytes(swiftlet_source type) { return type == SWIFTLET_SOURCE_F32 ? 4 : 2; }

/// out[i * 64] (word i of lane 0) of PACK_GROUP_ROWS lanes = words[lane][i]: whole cache lines, which `out` begins,
/// written past the caches, because nothing reads them soon.
void swiftlet_store_lines(uint32_t words[PACK_GROUP_ROWS][16], uint32_t *out);

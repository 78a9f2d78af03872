// int4.h: how matrices of four-bit weights lie in memory. Owner: the CPU backend; format_int4.c and
// pack_int4.c write it, linear_int4*.inc.h
// read it. The layout in words: see swiftlet_groups.
// Invariant: every group starts on a cache line, and what one pass over a panel reads lies in the order it reads it.

#pragma once

#include "kernels.h"

enum {
    INT4_ROW_BYTES = 64,     // two columns of a panel's 64 outputs
    INT4_SCALE_BYTES = 128,  // of a group: 64 halves
    INT4_ZERO_BYTES = 64,
    INT4_MIDDLE = 8,  // the zero point of matrices without zero points
};

/// Sizes of a matrix's panels.
typedef struct {
    int32_t group_columns;
    int32_t groups;       // of a row
    size_t header_bytes;  // of a group: before its weights
    size_t group_bytes;   // from group to group
    size_t panel_words;   // from panel to panel
} int4_layout;

static inline int4_layout int4_layout_of(const swiftlet_matrix *matrix) {
    int4_layout layout = {.group_columns = matrix->groups.columns > 0 ? matrix->groups.columns : matrix->columns};
    layout.groups = matrix->columns > 0 ? swiftlet_ceil_div(matrix->columns, layout.group_columns) : 0;
    layout.header_bytes = INT4_SCALE_BYTES + (matrix->groups.has_zeros ? INT4_ZERO_BYTES : 0);
    layout.group_bytes = layout.header_bytes + (size_t)swiftlet_ceil_div(layout.group_columns, 2) * INT4_ROW_BYTES;
    layout.panel_words = ((size_t)layout.groups * layout.header_bytes +
                          (size_t)swiftlet_ceil_div(matrix->columns, 2) * INT4_ROW_BYTES) / sizeof(uint32_t);
    return layout;
}

/// Where the level says so (HAS_INT16_DOT), x is multiplied as integers of sixteen bits: each row's in blocks of
/// columns that no group shares with another, the last one filled up with zeros, then an int4_block for each.
typedef struct {
    float scale;  // value = integer * scale
    int32_t sum;  // of the integers
} int4_block;

static inline int32_t int4_block_columns(const int4_layout *layout) {
    return layout->group_columns <= 32 ? 32 : 64;  // sums of 64 products stay below 2^31
}
static inline int32_t int4_blocks(const swiftlet_matrix *matrix, const int4_layout *layout) {
    return swiftlet_ceil_div(matrix->columns, int4_block_columns(layout));
}
static inline size_t int4_row_bytes(const swiftlet_matrix *matrix, const int4_layout *layout) {
    size_t blocks = (size_t)int4_blocks(matrix, layout);
    return blocks * ((size_t)int4_block_columns(layout) * sizeof(int16_t) + sizeof(int4_block));
}

/// One group of a panel.
typedef struct {
    const uint16_t *scales;  // [64]
    const uint8_t *zeros;    // [64] or NULL
    const uint32_t *rows;    // [columns / 2][16]
    int32_t columns;         // fewer in a row's last group
} int4_group;

static inline int4_group int4_group_at(const swiftlet_matrix *matrix, const int4_layout *layout,
                                       const uint32_t *panel, int32_t index) {
    const uint8_t *bytes = (const uint8_t *)panel + (size_t)index * layout->group_bytes;
    int32_t rest = matrix->columns - index * layout->group_columns;
    return (int4_group){
        .scales = (const uint16_t *)bytes,
        .zeros = matrix->groups.has_zeros ? bytes + INT4_SCALE_BYTES : NULL,
        .rows = (const uint32_t *)(bytes + layout->header_bytes),
        .columns = rest < layout->group_columns ? rest : layout->group_columns,
    };
}

/// Where a panel's weights of one column begin.
static inline const uint32_t *int4_place(const swiftlet_matrix *matrix, const int4_layout *layout,
                                         const uint32_t *panel, int32_t column) {
    int32_t index = column / layout->group_columns;
    return int4_group_at(matrix, layout, panel, index).rows + (size_t)(column % layout->group_columns) / 2 * 16;
}

/// Writes columns column ..< column + columns of a group (column is even) for `lanes` lanes from `lane` on, out of rows
/// [ceil(columns / 2)][16] for all 64: nothing else, also where other lanes share the byte, which another thread may be
/// writing.
void int4_write_rows(const int4_group *group, int32_t column, int32_t columns, int32_t lane, int32_t lanes,
                     const uint32_t *rows);

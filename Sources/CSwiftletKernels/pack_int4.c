// pack_int4.c: packs weights that a checkpoint holds as four-bit integers, without changing one of them.
// Owner: the CPU backend. See swiftlet_int4_source and int4.h.
// Invariant: every integer, scale and zero point arrives as it is, in whatever order the checkpoint keeps them.

#include <string.h>

#include "int4.h"
#include "scalar.h"

enum { BLOCK_COLUMNS = 128 };

typedef struct {
    const swiftlet_matrix *matrix;
    const swiftlet_int4_source *source;
    int4_layout layout;
    int32_t first_panel;
} pack_work;

/// Rows of the source that go to neighbouring lanes of one panel.
typedef struct {
    int32_t row, count, lane;
} lane_rows;

static uint32_t nibble(const swiftlet_nibbles *nibbles, int32_t row, int32_t column) {
    size_t down = (size_t)(nibbles->along_rows ? row / 8 : row);
    size_t along = (size_t)(nibbles->along_rows ? column : column / 8);
    size_t at = down * nibbles->row_stride + along * nibbles->column_stride;
    uint32_t word;
    memcpy(&word, (const uint8_t *)nibbles->words + at * sizeof(word), sizeof(word));
    return word >> nibbles->shifts[(nibbles->along_rows ? row : column) % 8] & 15;
}

static uint16_t scale_bits(const swiftlet_int4_source *source, int32_t row, int32_t group) {
    size_t at = (size_t)row * source->scale_row_stride + (size_t)group * source->scale_group_stride;
    const uint8_t *bytes = source->scales;
    if (source->scale_type == SWIFTLET_SOURCE_F32) {
        float scale;
        memcpy(&scale, bytes + at * sizeof(scale), sizeof(scale));
        return scalar_bf16(scale);
    }
    uint16_t bits;
    memcpy(&bits, bytes + at * sizeof(bits), sizeof(bits));
    return bits;
}

static void pack_weights(const pack_work *work, const lane_rows *rows, const int4_group *group, int32_t first) {
    const swiftlet_int4_source *source = work->source;
    for (int32_t c = 0; c < group->columns; c += BLOCK_COLUMNS) {
        int32_t columns = group->columns - c < BLOCK_COLUMNS ? group->columns - c : BLOCK_COLUMNS;
        uint32_t words[BLOCK_COLUMNS / 2 * 16] = {0};
        for (int32_t k = 0; k < columns; k++) {
            int32_t column = source->order ? source->order[first + c + k] : first + c + k;
            for (int32_t i = 0; i < rows->count; i++) {
                int32_t lane = rows->lane + i, shift = lane / 16 * 4 + k % 2 * 16;
                words[k / 2 * 16 + lane % 16] |= nibble(&source->weights, rows->row + i, column) << shift;
            }
        }
        int4_write_rows(group, c, columns, rows->lane, rows->count, words);
    }
}

static void pack_item(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const pack_work *work = context;
    const swiftlet_int4_source *source = work->source;
    int32_t panel = work->first_panel + item, per_panel = work->matrix->gated ? 32 : 64;
    int32_t first = panel * per_panel, end = first + per_panel;
    if (first < source->first_row) first = source->first_row;
    if (end > source->first_row + source->rows) end = source->first_row + source->rows;
    lane_rows rows = {
        .row = first - source->first_row, .count = end - first,
        .lane = first - panel * per_panel + (source->part == SWIFTLET_PART_UP ? 32 : 0),
    };
    const uint32_t *words = work->matrix->words + (size_t)panel * work->layout.panel_words;
    for (int32_t index = 0; index < work->layout.groups; index++) {
        int4_group group = int4_group_at(work->matrix, &work->layout, words, index);
        for (int32_t i = 0; i < rows.count; i++) {
            ((uint16_t *)group.scales)[rows.lane + i] = scale_bits(source, rows.row + i, index);
            if (!group.zeros) continue;
            uint32_t zero = nibble(&source->zeros, rows.row + i, index) + (uint32_t)source->zero_offset;
            ((uint8_t *)group.zeros)[rows.lane + i] = (uint8_t)zero;
        }
        pack_weights(work, &rows, &group, index * work->layout.group_columns);
    }
}

void swiftlet_pack_int4(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, const swiftlet_int4_source *source) {
    if (source->rows <= 0 || matrix->columns <= 0) return;
    int32_t per_panel = matrix->gated ? 32 : 64, last = (source->first_row + source->rows - 1) / per_panel;
    pack_work work = {
        .matrix = matrix, .source = source, .layout = int4_layout_of(matrix),
        .first_panel = source->first_row / per_panel,
    };
    swiftlet_parallel_for(cpu, last - work.first_panel + 1, pack_item, &work);
}

// format_int4.c: weights as four-bit integers with a scale, and where there are any a zero point, for each group of
// columns. See format.h, int4.h and swiftlet_groups.
// Invariant: only what belongs to the given rows is written, also where other rows' weights share the byte, which
// another thread may be writing at the same time.

#include <string.h>

#include "format.h"
#include "int4.h"
#include "scalar.h"

enum { MAX_GROUP = 128 };  // columns that are quantised together

static size_t panel_words(const swiftlet_matrix *matrix) { return int4_layout_of(matrix).panel_words; }

// --- Writing ------------------------------------------------------------------------------------------------

void int4_write_rows(const int4_group *group, int32_t column, int32_t columns, int32_t lane, int32_t lanes,
                     const uint32_t *rows) {
    size_t bytes = (size_t)swiftlet_ceil_div(columns, 2) * INT4_ROW_BYTES;
    uint8_t *out = (uint8_t *)(group->rows + (size_t)column / 2 * 16);
    if (lanes == 64) {
        memcpy(out, rows, bytes);
        return;
    }
    uint8_t own[INT4_ROW_BYTES] = {0};  // the bits that belong to these lanes
    for (int32_t i = lane; i < lane + lanes; i++)
        for (int32_t half = 0; half < 2; half++)
            own[i % 16 * 4 + half * 2 + i / 32] |= (uint8_t)(i / 16 % 2 ? 0xf0 : 0x0f);
    const uint8_t *in = (const uint8_t *)rows;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t mask = own[i % INT4_ROW_BYTES];
        if (mask == 0xff) {
            out[i] = in[i];
        } else if (mask) {
            __atomic_fetch_and(&out[i], (uint8_t)~mask, __ATOMIC_RELAXED);
            __atomic_fetch_or(&out[i], (uint8_t)(in[i] & mask), __ATOMIC_RELAXED);
        }
    }
}

typedef float quad __attribute__((vector_size(16), aligned(4)));

// Four rows' values to four lanes [columns][64].
static void transpose_four(const float values[4][MAX_GROUP], int32_t columns, float *out) {
    for (int32_t c = 0; c < columns; c += 4, out += 4 * 64) {
        quad in[4], pair[4];
        for (int32_t r = 0; r < 4; r++) in[r] = *(const quad *)&values[r][c];
        for (int32_t r = 0; r < 2; r++) {
            pair[r] = __builtin_shufflevector(in[r], in[r + 2], 0, 4, 1, 5);
            pair[r + 2] = __builtin_shufflevector(in[r], in[r + 2], 2, 6, 3, 7);
        }
        for (int32_t half = 0; half < 2; half++) {
            quad even = pair[2 * half], odd = pair[2 * half + 1];
            *(quad *)(out + 128 * half) = __builtin_shufflevector(even, odd, 0, 4, 1, 5);
            *(quad *)(out + 128 * half + 64) = __builtin_shufflevector(even, odd, 2, 6, 3, 7);
        }
    }
}

// Columns column ..< column + columns of the rows to their lanes of a tile [columns, rounded up to four][64], which has
// room for three lanes more.
static void transpose(const pack_group *rows, int32_t column, int32_t columns, float *tile) {
    for (int32_t row = 0; row < rows->rows; row += 4) {
        float values[4][MAX_GROUP];
        for (int32_t r = 0; r < 4; r++) {
            const uint8_t *source = rows->source + (size_t)(row + r) * rows->row_bytes;
            source += (size_t)column * swiftlet_source_bytes(rows->type);
            if (row + r < rows->rows) swiftlet_convert_to_float(source, rows->type, (size_t)columns, values[r]);
            else memset(values[r], 0, sizeof(values[r]));
            for (int32_t c = columns; c % 4; c++) values[r][c] = 0;
        }
        transpose_four(values, columns, tile + rows->lane + row);
    }
}

static void pack(const pack_group *rows) {
    const swiftlet_matrix *matrix = rows->matrix;
    int4_layout layout = int4_layout_of(matrix);
    _Alignas(64) float tile[MAX_GROUP * 64 + 4] = {0};
    _Alignas(64) uint32_t words[MAX_GROUP / 2 * 16];
    uint16_t scales[64];
    for (int32_t index = 0; index < layout.groups; index++) {
        int4_group group = int4_group_at(matrix, &layout, rows->panel, index);
        transpose(rows, index * layout.group_columns, group.columns, tile);
        rows->cpu->kernels->quantize_int4(tile, group.columns, rows->lane, rows->rows, scales, words);
        memcpy((uint16_t *)group.scales + rows->lane, scales + rows->lane, (size_t)rows->rows * sizeof(*scales));
        int4_write_rows(&group, 0, group.columns, rows->lane, rows->rows, words);
    }
}

// --- Reading ------------------------------------------------------------------------------------------------

static void read_row(const swiftlet_matrix *matrix, const uint32_t *panel, int32_t lane, float *x) {
    int4_layout layout = int4_layout_of(matrix);
    for (int32_t index = 0; index < layout.groups; index++, x += layout.group_columns) {
        int4_group group = int4_group_at(matrix, &layout, panel, index);
        uint16_t bits = group.scales[lane];
        float scale = matrix->groups.scales_are_f16 ? scalar_from_f16(bits) : scalar_from_bf16(bits);
        int32_t zero = group.zeros ? group.zeros[lane] : INT4_MIDDLE;
        const uint32_t *words = group.rows + lane % 16;
        for (int32_t c = 0; c < group.columns; c++) {
            uint32_t nibble = words[(size_t)(c / 2) * 16] >> (lane / 16 * 4 + c % 2 * 16) & 15;
            x[c] = (float)((int32_t)nibble - zero) * scale;
        }
    }
}

const swiftlet_format swiftlet_format_int4 = {64, panel_words, pack, read_row};

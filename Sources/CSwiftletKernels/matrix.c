// matrix.c: packed matrices: their size, packing from checkpoints, random filling, and gathering rows (embedding).
// Owner: the CPU backend. Layout: see swiftlet_matrix.
// Invariant: only words of real rows are written, and their padding columns get zero.

#include <string.h>

#include "kernels.h"
#include "scalar.h"

int32_t swiftlet_matrix_panels(int32_t rows, bool gated) {
    return gated ? swiftlet_ceil_div(rows / 2, 32) : swiftlet_ceil_div(rows, 64);
}

static int32_t words_per_row(int32_t columns, swiftlet_dtype dtype) {
    return dtype == SWIFTLET_BFLOAT16 ? swiftlet_ceil_div(columns, 2) : columns;
}

size_t swiftlet_matrix_bytes(const swiftlet_matrix *matrix) {
    size_t panels = (size_t)swiftlet_matrix_panels(matrix->rows, matrix->gated);
    return panels * (size_t)words_per_row(matrix->columns, matrix->dtype) * 64 * 4;
}

// --- Packing ------------------------------------------------------------------------------------------------

// Rows are read together in groups the hardware can prefetch as streams, a block of words at a time.
enum { GROUP_ROWS = 16, BLOCK_WORDS = 16 };

typedef struct {
    const swiftlet_matrix *matrix;
    const uint8_t *source;
    swiftlet_source type;
    size_t row_bytes;  // from row to row of the source
    int32_t first_row, rows;
    int32_t rows_per_panel;  // of this part
    int32_t first_lane;      // of this part
} pack_work;

// `count` elements of the source to words; count is odd only at the end of a row of bfloat16.
static void words_from_source(const pack_work *work, const uint8_t *source, int32_t count, uint32_t *words) {
    float values[2 * BLOCK_WORDS];
    bool bf16 = work->matrix->dtype == SWIFTLET_BFLOAT16;
    if (bf16 && work->type == SWIFTLET_SOURCE_BF16) {
        if (count % 2) words[count / 2] = 0;
        memcpy(words, source, (size_t)count * 2);
        return;
    }
    swiftlet_convert_to_float(source, work->type, (size_t)count, bf16 ? values : (float *)words);
    if (!bf16) return;
    if (count % 2) values[count] = 0;
    for (int32_t i = 0; i < (count + 1) / 2; i++)
        words[i] = scalar_bf16(values[2 * i]) | (uint32_t)scalar_bf16(values[2 * i + 1]) << 16;
}

// Rows first..<end of one panel, at most GROUP_ROWS of them; out: the first one's lane.
static void pack_group(const pack_work *work, int32_t first, int32_t end, uint32_t *out) {
    const swiftlet_matrix *matrix = work->matrix;
    int32_t unit = matrix->dtype == SWIFTLET_BFLOAT16 ? 2 : 1;
    size_t element = work->type == SWIFTLET_SOURCE_F32 ? 4 : 2;
    int32_t words = words_per_row(matrix->columns, matrix->dtype);
    for (int32_t k = 0; k < words; k += BLOCK_WORDS) {
        int32_t column = k * unit;
        int32_t count = matrix->columns - column < BLOCK_WORDS * unit ? matrix->columns - column : BLOCK_WORDS * unit;
        int32_t block = words - k < BLOCK_WORDS ? words - k : BLOCK_WORDS;
        uint32_t buffer[GROUP_ROWS][BLOCK_WORDS];
        for (int32_t row = first; row < end; row++) {
            const uint8_t *source = work->source + (size_t)(row - work->first_row) * work->row_bytes;
            source += (size_t)column * element;
            __builtin_prefetch(source + 512);
            words_from_source(work, source, count, buffer[row - first]);
        }
        for (int32_t i = 0; i < block; i++) {
            uint32_t *lanes = out + (size_t)(k + i) * 64;
            if (end - first == GROUP_ROWS)
                for (int32_t row = 0; row < GROUP_ROWS; row++) lanes[row] = buffer[row][i];
            else
                for (int32_t row = 0; row < end - first; row++) lanes[row] = buffer[row][i];
        }
    }
}

static void pack_panel(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const pack_work *work = context;
    const swiftlet_matrix *matrix = work->matrix;
    int32_t panel = work->first_row / work->rows_per_panel + item;
    int32_t first = panel * work->rows_per_panel, end = first + work->rows_per_panel;
    size_t panel_words = (size_t)words_per_row(matrix->columns, matrix->dtype) * 64;
    uint32_t *out = matrix->words + (size_t)panel * panel_words + work->first_lane - first;
    if (first < work->first_row) first = work->first_row;
    if (end > work->first_row + work->rows) end = work->first_row + work->rows;
    for (int32_t row = first; row < end; row += GROUP_ROWS)
        pack_group(work, row, end - row < GROUP_ROWS ? end : row + GROUP_ROWS, out + row);
}

void swiftlet_pack_rows(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, swiftlet_part part, int32_t first_row,
                        int32_t rows, const void *source, swiftlet_source type, size_t source_stride) {
    if (rows <= 0 || matrix->columns <= 0) return;
    pack_work work = {
        .matrix = matrix, .source = source, .type = type,
        .row_bytes = source_stride * (type == SWIFTLET_SOURCE_F32 ? 4 : 2),
        .first_row = first_row, .rows = rows,
        .rows_per_panel = matrix->gated ? 32 : 64, .first_lane = part == SWIFTLET_PART_UP ? 32 : 0,
    };
    int32_t panels = (first_row + rows - 1) / work.rows_per_panel - first_row / work.rows_per_panel + 1;
    swiftlet_parallel_for(cpu, panels, pack_panel, &work);
}

void swiftlet_convert_to_float(const void *source, swiftlet_source type, size_t count, float *out) {
    const uint8_t *bytes = source;
    if (type == SWIFTLET_SOURCE_F32) {
        memcpy(out, bytes, count * 4);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, 2);
        out[i] = type == SWIFTLET_SOURCE_BF16 ? scalar_from_bf16(half) : scalar_from_f16(half);
    }
}

// --- Random filling -----------------------------------------------------------------------------------------

typedef struct {
    const swiftlet_matrix *matrix;
    uint64_t seed;
    float scale;
} fill_work;

static uint64_t mix(uint64_t x) {  // splitmix64's finalizer
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// Uniform in [-scale, scale), by the top 24 bits.
static float random_value(uint64_t row_key, int32_t column, float scale) {
    uint64_t bits = mix(row_key + (uint64_t)column * 0x9e3779b97f4a7c15u);
    return ((float)(bits >> 40) * 0x1p-23f - 1.0f) * scale;
}

static void fill_panel(void *context, int32_t panel, int32_t thread) {
    (void)thread;
    const fill_work *work = context;
    const swiftlet_matrix *matrix = work->matrix;
    int32_t words = words_per_row(matrix->columns, matrix->dtype);
    uint32_t *out = matrix->words + (size_t)panel * (size_t)words * 64;
    for (int32_t lane = 0; lane < 64; lane++) {
        int32_t row = panel * 64 + lane, limit = matrix->rows;
        if (matrix->gated) {
            limit = matrix->rows / 2 * (1 + lane / 32);
            row = panel * 32 + lane % 32 + matrix->rows / 2 * (lane / 32);
        }
        if (row >= limit) continue;
        uint64_t key = mix(work->seed ^ mix((uint64_t)row + 1));
        for (int32_t k = 0; k < words; k++) {
            uint32_t *word = out + (size_t)k * 64 + lane;
            if (matrix->dtype == SWIFTLET_FLOAT32) {
                float value = random_value(key, k, work->scale);
                memcpy(word, &value, 4);
                continue;
            }
            *word = scalar_bf16(random_value(key, 2 * k, work->scale));
            if (2 * k + 1 < matrix->columns)
                *word |= (uint32_t)scalar_bf16(random_value(key, 2 * k + 1, work->scale)) << 16;
        }
    }
}

void swiftlet_fill_random(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, uint64_t seed, float scale) {
    fill_work work = {.matrix = matrix, .seed = seed, .scale = scale};
    swiftlet_parallel_for(cpu, swiftlet_matrix_panels(matrix->rows, matrix->gated), fill_panel, &work);
}

// --- Embedding ----------------------------------------------------------------------------------------------

typedef struct {
    const swiftlet_matrix *table;
    const int32_t *ids;  // [tokens]
    float *x;            // [tokens, columns]
    size_t x_stride;
} embed_work;

static void embed_token(void *context, int32_t token, int32_t thread) {
    (void)thread;
    const embed_work *work = context;
    const swiftlet_matrix *table = work->table;
    int32_t row = work->ids[token];
    float *x = work->x + (size_t)token * work->x_stride;
    size_t panel_words = (size_t)words_per_row(table->columns, table->dtype) * 64;
    const uint32_t *lane = table->words + (size_t)(row / 64) * panel_words + row % 64;
    if (table->dtype == SWIFTLET_FLOAT32) {
        for (int32_t c = 0; c < table->columns; c++) memcpy(x + c, lane + (size_t)c * 64, 4);
        return;
    }
    for (int32_t c = 0; c < table->columns; c++) {
        uint32_t word = lane[(size_t)(c / 2) * 64];
        x[c] = scalar_from_bf16((uint16_t)(c % 2 ? word >> 16 : word));
    }
}

void swiftlet_embed(swiftlet_cpu *cpu, const swiftlet_matrix *table, const int32_t *ids, int32_t tokens,
                    float *x, size_t x_stride) {
    embed_work work = {.table = table, .ids = ids, .x = x, .x_stride = x_stride};
    swiftlet_parallel_for(cpu, tokens, embed_token, &work);
}

// matrix.c: packed matrices: their size, random filling, and gathering rows (embedding), for all formats alike.
// Owner: the CPU backend. Layout: see swiftlet_matrix and format_*.c.
// Invariant: what a row becomes depends on its values and the format alone.

#include <string.h>

#include "format.h"
#include "scalar.h"

const swiftlet_format *swiftlet_format_of(const swiftlet_matrix *matrix) {
    switch (matrix->format) {
        case SWIFTLET_WEIGHTS_NATIVE: return &swiftlet_format_native;
        case SWIFTLET_WEIGHTS_INT8: return &swiftlet_format_int8;
        case SWIFTLET_WEIGHTS_INT4: return &swiftlet_format_int4;
        default: return NULL;
    }
}

int32_t swiftlet_matrix_panels(int32_t rows, bool gated) {
    return gated ? swiftlet_ceil_div(rows / 2, 32) : swiftlet_ceil_div(rows, 64);
}

size_t swiftlet_panel_words(const swiftlet_matrix *matrix) { return swiftlet_format_of(matrix)->panel_words(matrix); }

size_t swiftlet_matrix_bytes(const swiftlet_matrix *matrix) {
    return (size_t)swiftlet_matrix_panels(matrix->rows, matrix->gated) * swiftlet_panel_words(matrix) * 4;
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
    const swiftlet_cpu *cpu;
    const swiftlet_matrix *matrix;
    uint64_t seed;
    float scale;
} fill_work;

static_assert((size_t)SWIFTLET_MAX_COLUMNS * sizeof(float) <= SWIFTLET_SCRATCH_BYTES, "a row fits the scratch");

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

// Rows first..<end of a part, made here and packed as a checkpoint's would be.
static void fill_rows(const fill_work *work, swiftlet_part part, int32_t first, int32_t end, float *values) {
    const swiftlet_matrix *matrix = work->matrix;
    int32_t columns = matrix->columns, at_once = swiftlet_format_of(matrix)->rows_at_once;
    while ((size_t)at_once * (size_t)columns * sizeof(float) > SWIFTLET_SCRATCH_BYTES) at_once /= 2;
    for (int32_t row = first, count; row < end; row += count) {
        count = end - row < at_once ? end - row : at_once;
        for (int32_t i = 0; i < count; i++) {
            int32_t number = row + i + (part == SWIFTLET_PART_UP ? matrix->rows / 2 : 0);
            uint64_t key = mix(work->seed ^ mix((uint64_t)number + 1));
            float *out = values + (size_t)i * (size_t)columns;
            for (int32_t c = 0; c < columns; c++) out[c] = random_value(key, c, work->scale);
        }
        swiftlet_pack pack = {
            .matrix = *matrix, .source = values, .source_stride = (size_t)columns, .type = SWIFTLET_SOURCE_F32,
            .part = part, .first_row = row, .rows = count,
        };
        swiftlet_pack_here(work->cpu, &pack, row, count);
    }
}

static void fill_panel(void *context, int32_t panel, int32_t thread) {
    const fill_work *work = context;
    const swiftlet_matrix *matrix = work->matrix;
    float *values = swiftlet_scratch(work->cpu, thread);
    int32_t per_panel = matrix->gated ? 32 : 64, rows = matrix->gated ? matrix->rows / 2 : matrix->rows;
    int32_t first = panel * per_panel, end = rows - first < per_panel ? rows : first + per_panel;
    fill_rows(work, matrix->gated ? SWIFTLET_PART_GATE : SWIFTLET_PART_WHOLE, first, end, values);
    if (matrix->gated) fill_rows(work, SWIFTLET_PART_UP, first, end, values);
}

void swiftlet_fill_random(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, uint64_t seed, float scale) {
    if (matrix->columns <= 0) return;
    fill_work work = {.cpu = cpu, .matrix = matrix, .seed = seed, .scale = scale};
    swiftlet_parallel_for(cpu, swiftlet_matrix_panels(matrix->rows, matrix->gated), fill_panel, &work);
}

// --- Embedding ----------------------------------------------------------------------------------------------

typedef struct {
    const swiftlet_matrix *table;
    const swiftlet_format *format;
    const int32_t *ids;  // [tokens]
    float *x;            // [tokens, columns]
    size_t x_stride, panel_words;
    int32_t first_id;
    float scale;
} embed_work;

static void embed_token(void *context, int32_t token, int32_t thread) {
    (void)thread;
    const embed_work *work = context;
    float *x = work->x + (size_t)token * work->x_stride;
    int32_t row = work->ids[token] - work->first_id;
    if (row < 0 || row >= work->table->rows) {
        memset(x, 0, (size_t)work->table->columns * sizeof(float));
        return;
    }
    const uint32_t *panel = work->table->words + (size_t)(row / 64) * work->panel_words;
    work->format->read_row(work->table, panel, row % 64, x);
    if (work->scale == 1) return;
    for (int32_t c = 0; c < work->table->columns; c++) x[c] *= work->scale;
}

void swiftlet_embed(swiftlet_cpu *cpu, const swiftlet_matrix *table, int32_t first_id, const int32_t *ids,
                    int32_t tokens, float scale, float *x, size_t x_stride) {
    embed_work work = {
        .table = table, .format = swiftlet_format_of(table), .ids = ids, .x = x, .x_stride = x_stride,
        .first_id = first_id, .panel_words = swiftlet_panel_words(table), .scale = scale,
    };
    swiftlet_parallel_for(cpu, tokens, embed_token, &work);
}

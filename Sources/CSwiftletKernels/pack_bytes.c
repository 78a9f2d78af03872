// pack_bytes.c: packs weights that a checkpoint holds as bytes with scales: eight-bit integers as they are into a matrix
// of such integers, and floats or integers of eight bits expanded into a matrix of any other kind.
// Owner: the CPU backend. See swiftlet_bytes_source.
// Invariant: into a matrix of eight-bit integers with a scale a row, every integer and scale arrives as it is; a value
// that is expanded is the product of two float32.

#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "panels.h"
#include "scalar.h"

/// Rows of a source that lie in one panel.
typedef struct {
    const swiftlet_matrix *matrix;
    const swiftlet_bytes_source *source;
    int32_t panel, first, end;  // of the part's rows
} panel_rows;

static const uint8_t *row_bytes(const panel_rows *rows, int32_t row) {
    return (const uint8_t *)rows->source->bytes + (size_t)(row - rows->source->first_row) * rows->source->stride;
}

static float scale_at(const swiftlet_bytes_source *source, int32_t row, int32_t column) {
    int32_t down = (row - source->first_row + source->scale_first_row) / source->scale_rows;
    int32_t along = (column + source->scale_first_column) / source->scale_columns;
    size_t at = (size_t)down * source->scale_stride + (size_t)along;
    float scale;
    swiftlet_convert_to_float((const uint8_t *)source->scales + at * swiftlet_source_bytes(source->scale_type),
                              source->scale_type, 1, &scale);
    return scale;
}

// --- Integers as they are -----------------------------------------------------------------------------------

// The panel of eight-bit integers: words [columns / 4][64], scales [64], sums [64].
static void pack_integers(const panel_rows *rows, uint32_t *panel, int32_t lane) {
    int32_t columns = rows->matrix->columns, words = swiftlet_ceil_div(columns, 4);
    uint32_t *trailer = panel + (size_t)words * 64;
    for (int32_t row = rows->first; row < rows->end; row++, lane++) {
        const uint8_t *bytes = row_bytes(rows, row);
        int32_t sum = 0;
        for (int32_t c = 0; c < columns; c++) sum += (int8_t)bytes[c];
        trailer[lane] = scalar_bits(scale_at(rows->source, row, 0));
        trailer[64 + lane] = (uint32_t)sum;
    }
}

// Words of up to 16 rows that lie in neighbouring lanes.
static void pack_words(const panel_rows *rows, uint32_t *out) {
    int32_t columns = rows->matrix->columns, count = rows->end - rows->first;
    bool whole_lines = count == PACK_GROUP_ROWS && (uintptr_t)out % (PACK_GROUP_ROWS * sizeof(uint32_t)) == 0;
    for (int32_t c = 0; c < columns; c += 64) {
        int32_t width = columns - c < 64 ? columns - c : 64;
        uint32_t buffer[PACK_GROUP_ROWS][16];
        memset(buffer, 0, sizeof(buffer));
        for (int32_t i = 0; i < count; i++) memcpy(buffer[i], row_bytes(rows, rows->first + i) + c, (size_t)width);
        uint32_t *lines = out + (size_t)(c / 4) * 64;
        if (whole_lines && width == 64) {
            swiftlet_store_lines(buffer, lines);
            continue;
        }
        for (int32_t k = 0; k < swiftlet_ceil_div(width, 4); k++)
            for (int32_t i = 0; i < count; i++) lines[(size_t)k * 64 + (size_t)i] = buffer[i][k];
    }
}

static void pack_as_they_are(const panel_rows *rows) {
    const swiftlet_matrix *matrix = rows->matrix;
    uint32_t *panel = matrix->words + (size_t)rows->panel * swiftlet_panel_words(matrix);
    int32_t lane = rows->first - rows->panel * (matrix->gated ? 32 : 64);
    if (rows->source->part == SWIFTLET_PART_UP) lane += 32;
    pack_integers(rows, panel, lane);
    for (int32_t row = rows->first; row < rows->end;) {
        int32_t count = PACK_GROUP_ROWS - lane % PACK_GROUP_ROWS;  // up to a line's end
        panel_rows some = *rows;
        some.first = row;
        some.end = rows->end - row < count ? rows->end : row + count;
        pack_words(&some, panel + lane);
        lane += some.end - row;
        row = some.end;
    }
#if defined(__x86_64__)
    __builtin_ia32_sfence();
#endif
}

// --- Expanding ----------------------------------------------------------------------------------------------

// float8: sign, four bits of exponent with bias 7, three of mantissa; no infinity, all ones is NaN.
static float from_e4m3(uint8_t byte) {
    if ((byte & 0x7f) == 0x7f) return scalar_from_bits(0x7fc00000u);
    float magnitude = scalar_from_bits((uint32_t)(byte & 0x7f) << 20) * 0x1p120f;  // exact for denormals too
    return byte & 0x80 ? -magnitude : magnitude;
}

static void fill_table(const swiftlet_bytes_source *source, float table[256]) {
    for (int32_t i = 0; i < 256; i++) {
        switch (source->type) {
            case SWIFTLET_BYTES_E4M3: table[i] = from_e4m3((uint8_t)i); break;
            case SWIFTLET_BYTES_INT8: table[i] = (float)(int8_t)i; break;
            case SWIFTLET_BYTES_UINT8: table[i] = (float)(i - 128); break;
        }
    }
}

static void expand_row(const panel_rows *rows, int32_t row, const float table[256], float *values) {
    const uint8_t *bytes = row_bytes(rows, row);
    int32_t columns = rows->matrix->columns, step = rows->source->scale_columns;
    int32_t skipped = rows->source->scale_first_column % step;  // of the first block
    for (int32_t c = 0, end; c < columns; c = end, skipped = 0) {
        end = columns - c < step - skipped ? columns : c + step - skipped;
        float scale = scale_at(rows->source, row, c);
        for (int32_t i = c; i < end; i++) values[i] = table[bytes[i]] * scale;
    }
}

static void expand(const swiftlet_cpu *cpu, const panel_rows *rows, float *values) {
    const swiftlet_matrix *matrix = rows->matrix;
    int32_t columns = matrix->columns, at_once = swiftlet_format_of(matrix)->rows_at_once;
    while ((size_t)at_once * (size_t)columns * sizeof(float) > SWIFTLET_SCRATCH_BYTES) at_once /= 2;
    float table[256];
    fill_table(rows->source, table);
    for (int32_t row = rows->first, count; row < rows->end; row += count) {
        count = rows->end - row < at_once ? rows->end - row : at_once;
        for (int32_t i = 0; i < count; i++) expand_row(rows, row + i, table, values + (size_t)i * (size_t)columns);
        swiftlet_pack pack = {
            .matrix = *matrix, .source = values, .source_stride = (size_t)columns, .type = SWIFTLET_SOURCE_F32,
            .part = rows->source->part, .first_row = row, .rows = count,
        };
        swiftlet_pack_here(cpu, &pack, row, count);
    }
}

// --- Panels -------------------------------------------------------------------------------------------------

typedef struct {
    const swiftlet_cpu *cpu;
    const swiftlet_bytes_pack *packs;
} bytes_work;

static bool is_as_it_is(const swiftlet_matrix *matrix, const swiftlet_bytes_source *source) {
    return matrix->format == SWIFTLET_WEIGHTS_INT8 && source->type == SWIFTLET_BYTES_INT8 &&
           source->scale_columns >= matrix->columns + source->scale_first_column;
}

static void pack_panels(void *context, int32_t index, int32_t first, int32_t end, int32_t thread) {
    const bytes_work *work = context;
    const swiftlet_bytes_pack *pack = &work->packs[index];
    int32_t per_panel = pack->matrix.gated ? 32 : 64;
    for (int32_t panel = first; panel < end; panel++)
        for (int32_t i = 0; i < pack->source_count; i++) {
            const swiftlet_bytes_source *source = &pack->sources[i];
            panel_rows rows = {&pack->matrix, source, panel, panel * per_panel, (panel + 1) * per_panel};
            if (rows.first < source->first_row) rows.first = source->first_row;
            if (rows.end > source->first_row + source->rows) rows.end = source->first_row + source->rows;
            if (rows.first >= rows.end) continue;
            if (is_as_it_is(&pack->matrix, source)) pack_as_they_are(&rows);
            else expand(work->cpu, &rows, swiftlet_scratch(work->cpu, thread));
        }
}

bool swiftlet_pack_bytes(swiftlet_cpu *cpu, const swiftlet_bytes_pack *packs, int32_t count) {
    swiftlet_panels *panels = malloc(((size_t)count + 1) * sizeof(swiftlet_panels));
    if (panels == NULL) return false;
    for (int32_t i = 0; i < count; i++)
        panels[i] = (swiftlet_panels){&packs[i].matrix, packs[i].mappings, packs[i].mapping_count};
    bytes_work work = {cpu, packs};
    bool is_done = swiftlet_for_panels(cpu, panels, count, pack_panels, &work);
    free(panels);
    return is_done;
}

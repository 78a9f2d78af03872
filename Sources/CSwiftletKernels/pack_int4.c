// pack_int4.c: packs weights that a checkpoint holds as four-bit integers, without changing one of them.
// Owner: the CPU backend. See swiftlet_int4_source and int4.h.
//
// A block of columns of a panel's 64 outputs is unpacked to bytes first, whatever order the checkpoint keeps them in,
// and then put together. One thread writes a whole panel, so nothing is shared.
// Invariant: every integer, scale and zero point arrives as it is.

#include <stdlib.h>
#include <string.h>

#include "int4.h"
#include "panels.h"
#include "scalar.h"

enum { BLOCK_COLUMNS = 128, BLOCK_WORDS = BLOCK_COLUMNS / 8 };

/// Rows of a source that go to neighbouring lanes of one panel.
typedef struct {
    const swiftlet_int4_source *source;
    int32_t row, count, lane;
} lane_rows;

/// Columns of the matrix, unpacked.
typedef struct {
    int32_t first, count;
    uint8_t (*bytes)[64];  // [count, or one more]
} unpacked;

static uint32_t load(const swiftlet_nibbles *nibbles, size_t word) {
    uint32_t value;
    memcpy(&value, (const uint8_t *)nibbles->words + word * sizeof(value), sizeof(value));
    return value;
}

static uint32_t nibble(const swiftlet_nibbles *nibbles, int32_t row, int32_t column) {
    size_t down = (size_t)(nibbles->along_rows ? row / 8 : row);
    size_t along = (size_t)(nibbles->along_rows ? column : column / 8);
    uint32_t word = load(nibbles, down * nibbles->row_stride + along * nibbles->column_stride);
    return word >> nibbles->shifts[(nibbles->along_rows ? row : column) % 8] & 15;
}

static int32_t source_column(const swiftlet_int4_source *source, int32_t column) {
    return source->order ? source->order[column] : column;
}

// --- Unpacking ----------------------------------------------------------------------------------------------

static void unpack_each(const lane_rows *rows, const unpacked *out) {
    for (int32_t k = 0; k < out->count; k++) {
        int32_t column = source_column(rows->source, out->first + k);
        if (column < 0) continue;
        for (int32_t i = 0; i < rows->count; i++)
            out->bytes[k][rows->lane + i] = (uint8_t)nibble(&rows->source->weights, rows->row + i, column);
    }
}

// Neighbouring words are neighbouring rows: GPTQ.
static void unpack_side_by_side(const lane_rows *rows, const unpacked *out) {
    const swiftlet_nibbles *weights = &rows->source->weights;
    for (int32_t k = 0; k < out->count; k++) {
        int32_t column = source_column(rows->source, out->first + k);
        if (column < 0) continue;
        size_t at = (size_t)(column / 8) * weights->column_stride + (size_t)rows->row;
        const uint8_t *words = (const uint8_t *)weights->words + at * sizeof(uint32_t);
        uint32_t shift = weights->shifts[column % 8];
        uint8_t *bytes = out->bytes[k] + rows->lane;
        for (int32_t i = 0; i < rows->count; i++) {
            uint32_t word;
            memcpy(&word, words + (size_t)i * sizeof(word), sizeof(word));
            bytes[i] = (uint8_t)(word >> shift & 15);
        }
    }
}

// Neighbouring words are neighbouring columns, in the matrix's order: compressed-tensors. The block begins with a word.
static void unpack_row_by_row(const lane_rows *rows, const unpacked *out) {
    const swiftlet_nibbles *weights = &rows->source->weights;
    uint32_t words[BLOCK_WORDS][64];
    int32_t count = swiftlet_ceil_div(out->count, 8);
    for (int32_t i = 0; i < rows->count; i++) {
        size_t at = (size_t)(rows->row + i) * weights->row_stride + (size_t)(out->first / 8);
        for (int32_t word = 0; word < count; word++) words[word][i] = load(weights, at + (size_t)word);
    }
    for (int32_t k = 0; k < out->count; k++) {
        uint32_t shift = weights->shifts[k % 8];
        uint8_t *bytes = out->bytes[k] + rows->lane;
        for (int32_t i = 0; i < rows->count; i++) bytes[i] = (uint8_t)(words[k / 8][i] >> shift & 15);
    }
}

// The four nibbles of a half word in the even bytes.
static uint64_t spread(uint32_t half) {
    uint64_t x = (half | (uint64_t)half << 24) & 0x000000ff000000ffu;
    return (x | x << 12) & 0x000f000f000f000fu;
}

// A word has eight rows, the even ones in its lower half: AWQ. The rows begin with a word and are whole ones.
static void unpack_interleaved(const lane_rows *rows, const unpacked *out) {
    const swiftlet_nibbles *weights = &rows->source->weights;
    for (int32_t k = 0; k < out->count; k++) {
        int32_t number = source_column(rows->source, out->first + k);
        if (number < 0) continue;
        size_t column = (size_t)number * weights->column_stride;
        uint8_t *bytes = out->bytes[k] + rows->lane;
        for (int32_t i = 0; i < rows->count; i += 8) {
            uint32_t word = load(weights, (size_t)((rows->row + i) / 8) * weights->row_stride + column);
            uint64_t eight = spread(word & 0xffff) | spread(word >> 16) << 8;
            memcpy(bytes + i, &eight, 8);
        }
    }
}

static bool is_interleaved(const swiftlet_nibbles *nibbles) {
    static const uint8_t shifts[8] = {0, 16, 4, 20, 8, 24, 12, 28};
    uint32_t first = 1;
    uint8_t byte;
    memcpy(&byte, &first, 1);  // the bytes of `eight` above are a little-endian machine's
    return nibbles->along_rows && byte == 1 && memcmp(nibbles->shifts, shifts, sizeof(shifts)) == 0;
}

static void unpack(const lane_rows *rows, const unpacked *out) {
    const swiftlet_nibbles *weights = &rows->source->weights;
    if (is_interleaved(weights) && rows->row % 8 == 0 && rows->count % 8 == 0) unpack_interleaved(rows, out);
    else if (!weights->along_rows && weights->row_stride == 1) unpack_side_by_side(rows, out);
    else if (!weights->along_rows && weights->column_stride == 1 && !rows->source->order && out->first % 8 == 0)
        unpack_row_by_row(rows, out);
    else unpack_each(rows, out);
}

// --- Panels -------------------------------------------------------------------------------------------------

// Bytes of two columns to a line of words.
static void join(const uint8_t even[64], const uint8_t odd[64], uint32_t *line) {
    for (int32_t i = 0; i < 16; i++) {
        uint32_t low = even[i] | (uint32_t)even[16 + i] << 4 | (uint32_t)even[32 + i] << 8 | (uint32_t)even[48 + i] << 12;
        uint32_t high = odd[i] | (uint32_t)odd[16 + i] << 4 | (uint32_t)odd[32 + i] << 8 | (uint32_t)odd[48 + i] << 12;
        line[i] = low | high << 16;
    }
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

static void pack_scales(const lane_rows *rows, int32_t index, const int4_group *group) {
    const swiftlet_int4_source *source = rows->source;
    if (source->groups) index = source->groups[index];
    for (int32_t i = 0; i < rows->count; i++) {
        ((uint16_t *)group->scales)[rows->lane + i] = scale_bits(source, rows->row + i, index);
        if (!group->zeros) continue;
        uint32_t zero = source->zeros.words == NULL
                            ? INT4_MIDDLE
                            : nibble(&source->zeros, rows->row + i, index) + (uint32_t)source->zero_offset;
        ((uint8_t *)group->zeros)[rows->lane + i] = (uint8_t)zero;
    }
}

// Rows of a source that lie in a panel; none: count is not positive.
static lane_rows rows_in_panel(const swiftlet_int4_source *source, bool gated, int32_t panel) {
    int32_t per_panel = gated ? 32 : 64, first = panel * per_panel, end = first + per_panel;
    if (first < source->first_row) first = source->first_row;
    if (end > source->first_row + source->rows) end = source->first_row + source->rows;
    return (lane_rows){
        .source = source, .row = first - source->first_row, .count = end - first,
        .lane = first - panel * per_panel + (source->part == SWIFTLET_PART_UP ? 32 : 0),
    };
}

static void pack_panels(void *context, int32_t index, int32_t first, int32_t end, int32_t thread) {
    (void)thread;
    const swiftlet_int4_pack *pack = (const swiftlet_int4_pack *)context + index;
    const swiftlet_matrix *matrix = &pack->matrix;
    int4_layout layout = int4_layout_of(matrix);
    uint8_t bytes[BLOCK_COLUMNS][64];
    // Block by block over all panels of the item: they read neighbouring memory.
    for (int32_t g = 0; g < layout.groups; g++)
        for (int32_t block = 0; block < layout.group_columns; block += BLOCK_COLUMNS)
            for (int32_t panel = first; panel < end; panel++) {
                const uint32_t *words = matrix->words + (size_t)panel * layout.panel_words;
                int4_group group = int4_group_at(matrix, &layout, words, g);
                unpacked out = {
                    .first = g * layout.group_columns + block, .count = group.columns - block, .bytes = bytes};
                if (out.count <= 0) continue;
                if (out.count > BLOCK_COLUMNS) out.count = BLOCK_COLUMNS;
                memset(bytes, 0, sizeof(bytes));
                for (int32_t i = 0; i < pack->source_count; i++) {
                    lane_rows rows = rows_in_panel(&pack->sources[i], matrix->gated, panel);
                    if (rows.count <= 0) continue;
                    if (block == 0) pack_scales(&rows, g, &group);
                    unpack(&rows, &out);
                }
                uint32_t *lines = (uint32_t *)group.rows + (size_t)block / 2 * 16;
                for (int32_t k = 0; k < out.count; k += 2) join(bytes[k], bytes[k + 1], lines + (size_t)k / 2 * 16);
            }
}

bool swiftlet_pack_int4(swiftlet_cpu *cpu, const swiftlet_int4_pack *packs, int32_t count) {
    swiftlet_panels *panels = malloc(((size_t)count + 1) * sizeof(swiftlet_panels));
    if (panels == NULL) return false;
    for (int32_t i = 0; i < count; i++)
        panels[i] = (swiftlet_panels){&packs[i].matrix, packs[i].mappings, packs[i].mapping_count};
    bool is_done = swiftlet_for_panels(cpu, panels, count, pack_panels, (void *)packs);
    free(panels);
    return is_done;
}

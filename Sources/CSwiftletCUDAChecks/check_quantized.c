// check_quantized.c: checks of weights of four and eight bits: products, their layout, and what brings them into it.
//
// Invariant: the layout is written here once more, byte by byte, as quantized.cuh describes it.

#include "check_quantized.h"

enum { STORE_FLOAT, STORE_ELEMENT, ADD_FLOAT, STORE_CAPPED, GATED_SILU, GATED_GELU, EPILOGUES };

// --- Matrices ----------------------------------------------------------------------------------------------------------

static int group_columns(const quantized *q) { return q->group > 0 ? q->group : q->columns; }
static int group_count(const quantized *q) { return (q->columns + group_columns(q) - 1) / group_columns(q); }
static int block_columns(const quantized *q) { return q->format == INT4 ? 128 : 64; }
static int block_count(const quantized *q) { return (q->columns + block_columns(q) - 1) / block_columns(q); }

static size_t matrix_bytes(const quantized *q) {
    size_t places = (size_t)q->rows * (size_t)group_count(q);
    return (size_t)q->rows * (size_t)block_count(q) * 64 + places * (q->format == INT4 ? q->has_zeros ? 3 : 2 : 4);
}

static float e4m3(int bits) {
    int exponent = bits >> 3 & 15, mantissa = bits & 7;
    float size = exponent == 0 ? ldexpf((float)mantissa, -9) : ldexpf((float)(8 + mantissa), exponent - 10);
    return bits & 128 ? -size : size;
}

/// A scale of about `size`, as the format keeps it.
static float scale_of(check *c, const quantized *q, float size, uint16_t *bits) {
    float scale = size * (1 + 0.5f * random_float(c));
    uint32_t whole;
    if (random_below(c, 4) == 0) scale = -scale;
    if (q->format != INT4) return scale;
    scale = rounded_bf16(scale);
    memcpy(&whole, &scale, 4);
    *bits = (uint16_t)(whole >> 16);
    if (!q->has_half_scales) return scale;
    *bits = (uint16_t)(random_below(c, 2) << 15 | (10 + random_below(c, 3)) << 10 | random_below(c, 1024));
    return ldexpf(1024 + (float)(*bits & 1023), (*bits >> 10 & 31) - 25) * (*bits & 0x8000 ? -1.0f : 1.0f);
}

quantized *make_quantized(check *c, quantized shape) {
    quantized *q = host_memory(c, sizeof *q);
    *q = shape;
    int groups = group_count(q), unit = q->group > 0 ? q->group : 32;
    q->layout = q->group > 0 ? 0 : 31;
    while (unit > 32 << q->layout && q->layout < 31) q->layout++;
    q->layout |= (q->has_zeros ? 256 : 0) | (q->has_half_scales ? 512 : 0);
    size_t count = (size_t)(q->rows * q->columns), places = (size_t)(q->rows * groups);
    q->bytes = host_memory(c, matrix_bytes(q));
    q->integers = host_memory(c, count);
    q->values = host_memory(c, 4 * count);
    q->zeros = host_memory(c, places);
    q->scales = host_memory(c, 4 * places);
    q->scale_bits = host_memory(c, 2 * places);
    uint8_t *scales = q->bytes + (size_t)q->rows * (size_t)block_count(q) * 64;
    float size = 3 / sqrtf((float)q->columns) / (q->format == INT4 ? 8 : q->format == INT8 ? 127 : 100);
    for (size_t i = 0; i < places; i++) {
        q->zeros[i] = (uint8_t)(q->has_zeros ? random_below(c, 17) : 8);
        q->scales[i] = scale_of(c, q, size, &q->scale_bits[i]);
        if (q->format == INT4) memcpy(scales + 2 * i, &q->scale_bits[i], 2);
        else memcpy(scales + 4 * i, &q->scales[i], 4);
        if (q->has_zeros) scales[2 * places + i] = q->zeros[i];
    }
    for (int r = 0; r < q->rows; r++)
        for (int k = 0; k < q->columns; k++) {
            size_t i = (size_t)(r * q->columns + k), place = (size_t)(r * groups + k / group_columns(q));
            int byte = random_below(c, q->format == INT4 ? 16 : 256);
            if (q->format == FP8 && (byte & 127) == 127) byte ^= 1;  // NaN
            q->integers[i] = (uint8_t)byte;
            float value = q->format == INT4 ? (float)(byte - q->zeros[place]) : q->format == INT8 ? (float)(int8_t)byte : e4m3(byte);
            q->values[i] = value * q->scales[place];
            uint8_t *block = q->bytes + (size_t)(r * block_count(q) + k / block_columns(q)) * 64;
            int in = k % block_columns(q), lane = in % 32 / 8, j = in / 32, e = in % 8;
            if (q->format != INT4) block[16 * lane + 8 * j + e] = (uint8_t)byte;
            else block[16 * lane + 4 * j + e % 2 * 2 + e / 4] |= (uint8_t)(byte << (e / 2 % 2 * 4));
        }
    return q;
}

uint64_t device_quantized(check *c, const quantized *q) { return device_memory(c, q->bytes, matrix_bytes(q)); }

const char *format_name(int format) { return format == INT4 ? "int4" : format == INT8 ? "int8" : "fp8"; }

// --- Products ----------------------------------------------------------------------------------------------------------

typedef struct {
    int rows, outs, epilogue, tiles;
    bool has_bias;
} product;

static bool gates(int epilogue) { return epilogue >= GATED_SILU; }
static bool is_float(int epilogue) { return epilogue == STORE_FLOAT || epilogue == ADD_FLOAT || epilogue == STORE_CAPPED; }

/// out = an epilogue of the sums of x [rows, columns] with the matrix.
static void multiply(const quantized *q, product p, const float *x, const float *bias, double cap, const float *before,
                     float *out) {
    for (int r = 0; r < p.rows; r++)
        for (int o = 0; o < p.outs; o++) {
            double sums[2] = {0};
            for (int part = 0; part <= gates(p.epilogue); part++) {
                int row = o + part * p.outs;
                for (int k = 0; k < q->columns; k++)
                    sums[part] += (double)x[r * q->columns + k] * (double)q->values[row * q->columns + k];
                if (bias) sums[part] += (double)bias[row];
            }
            double y = sums[0], inner = 0.7978845608028654 * (y + 0.044715 * y * y * y);
            if (p.epilogue == GATED_SILU) y = y / (1 + exp(-y)) * sums[1];
            if (p.epilogue == GATED_GELU) y = 0.5 * y * (1 + tanh(inner)) * sums[1];
            if (p.epilogue == ADD_FLOAT) y += (double)before[r * p.outs + o];
            if (p.epilogue == STORE_CAPPED) y = cap * tanh(y / cap);
            out[r * p.outs + o] = (float)y;
        }
}

static void check_product(check *c, quantized shape, product p) {
    shape.rows = gates(p.epilogue) ? 2 * p.outs : p.outs;
    quantized *q = make_quantized(c, shape);
    float cap = 0.7f, *x = random_floats(c, (size_t)(p.rows * q->columns)), *bias = random_floats(c, (size_t)q->rows);
    size_t count = (size_t)(p.rows * p.outs), bytes = count * (is_float(p.epilogue) ? 4 : element_size(c));
    float *before = random_floats(c, count), *want = host_memory(c, 4 * count);
    uint64_t input = device_elements(c, x, (size_t)(p.rows * q->columns)), matrix = device_quantized(c, q);
    uint64_t biases = p.has_bias ? device_floats(c, bias, (size_t)q->rows) : 0;
    uint64_t out = device_memory(c, is_float(p.epilogue) ? before : NULL, bytes);
    multiply(q, p, x, p.has_bias ? bias : NULL, (double)cap, before, want);
    char name[32];
    int at_once = p.rows <= 8 ? 8 : 32, tile = p.tiles * (gates(p.epilogue) ? 8 : 16);
    snprintf(name, sizeof name, "linear_%s_%d", format_name(q->format), at_once);
    grid g = {(unsigned)((p.outs + tile - 1) / tile), (unsigned)((p.rows + at_once - 1) / at_once), 1};
    RUN(c, name, g, 256, &input, &p.rows, &q->columns, &matrix, &q->layout, &p.tiles, &p.outs, &biases, &p.epilogue, &cap,
        &out);
    float *got = is_float(p.epilogue) ? floats_of(c, out, count) : elements_of(c, out, count);
    double relative = is_float(p.epilogue) || c->shapes->compute_float ? 1e-5 : 1.0 / 250;
    compare(c, name, got, want, count, 2e-5, relative);
    // The last row alone.
    int one = 1, last = p.rows - 1;
    uint64_t row = input + (uint64_t)(last * q->columns) * element_size(c);
    if (row % 16 == 0 && p.rows <= 8) {
        uint64_t alone = device_memory(c, before + last * p.outs, bytes / (size_t)p.rows);
        RUN(c, name, g, 256, &row, &one, &q->columns, &matrix, &q->layout, &p.tiles, &p.outs, &biases, &p.epilogue, &cap,
            &alone);
        float *same = is_float(p.epilogue) ? floats_of(c, alone, (size_t)p.outs) : elements_of(c, alone, (size_t)p.outs);
        compare(c, "a row alone", same, got + last * p.outs, (size_t)p.outs, 0, 0);
    }
    end_case(c);
}

const quantized quantized_shapes[QUANTIZED_SHAPES] = {
    {.format = INT4, .columns = 384, .group = 64},
    {.format = INT8, .columns = 200},
    {.format = FP8, .columns = 320, .group = 128},
    {.format = INT4, .columns = 96, .group = 32, .has_zeros = true, .has_half_scales = true},
    {.format = INT4, .columns = 256, .group = 128, .has_zeros = true},
    {.format = FP8, .columns = 72},
    {.format = INT4, .columns = 40, .has_half_scales = true},
    {.format = INT8, .columns = 1024, .group = 32},
    {.format = INT4, .columns = 1160, .group = 0, .has_zeros = true},
};

void check_quantized_products(check *c) {
    static const int rows[] = {1, 3, 8, 9, 16, 33, 5, 40}, outs[] = {1, 16, 24, 50, 7, 130}, tiles[] = {1, 2, 4, 8};
    for (int number = 0; number < QUANTIZED_SHAPES * (c->size > 0 ? 16 : 6); number++)
        check_product(c, quantized_shapes[number % QUANTIZED_SHAPES],
                      (product){rows[(number + number / QUANTIZED_SHAPES) % 8], outs[(number * 5 + number / 7) % 6],
                                (number + number / EPILOGUES) % EPILOGUES, tiles[number * 3 % 4 ^ number / 9 % 4], number % 4 < 2});
}

// --- Out of the layout -------------------------------------------------------------------------------------------------

static void check_expand(check *c, quantized shape) {
    shape.rows = 19;
    quantized *q = make_quantized(c, shape);
    int first = 3, rows = 11;
    size_t count = (size_t)(rows * q->columns);
    uint64_t matrix = device_quantized(c, q), out = device_memory(c, NULL, count * element_size(c));
    grid g = {2, 1, 1};
    RUN(c, "expand_weights", g, 256, &matrix, &q->format, &q->rows, &q->columns, &q->layout, &first, &rows, &out);
    float *want = host_memory(c, 4 * count);
    for (size_t i = 0; i < count; i++) want[i] = as_element(c, q->values[(size_t)(first * q->columns) + i]);
    compare(c, "expand_weights", elements_of(c, out, count), want, count, 0, 0);

    int prompts[] = {9, 1}, contexts[] = {9, 4}, first_id = 7, padded = 12;
    batch *b = make_batch(c, 2, prompts, contexts);
    int *sequences = host_memory(c, 4 * (size_t)padded);
    for (int r = 0; r < padded; r++) sequences[r] = r < b->tokens ? b->row_sequence[r] : -1;
    uint64_t words = device_batch(c, b), numbers = device_memory(c, sequences, 4 * (size_t)padded);
    size_t values = (size_t)(padded * q->columns);
    uint64_t x = device_memory(c, NULL, 4 * values);
    float scale = 1.5f, *embedded = host_memory(c, 4 * values);
    grid all = {(unsigned)padded, 1, 1};
    RUN(c, "embed_quantized", all, 256, &words, &numbers, &matrix, &q->format, &q->layout, &first_id, &q->rows, &q->columns,
        &scale, &x);
    for (int r = 0; r < b->tokens; r++) {
        int id = b->ids[r] - first_id;
        for (int k = 0; k < q->columns && id >= 0 && id < q->rows; k++)
            embedded[r * q->columns + k] = scale * q->values[id * q->columns + k];
    }
    compare(c, "embed_quantized", floats_of(c, x, values), embedded, values, 0, 1e-6);
    end_case(c);
}

static void check_order(check *c, int rows, int x_columns, int columns) {
    size_t count = (size_t)(rows * columns);
    float *x = random_floats(c, (size_t)(rows * x_columns)), *want = host_memory(c, 4 * count);
    int *order = host_memory(c, 4 * (size_t)columns);
    for (int k = 0; k < columns; k++) order[k] = random_below(c, x_columns + 1) - 1;
    uint64_t in = device_elements(c, x, (size_t)(rows * x_columns)), numbers = device_memory(c, order, 4 * (size_t)columns);
    uint64_t out = device_memory(c, NULL, count * element_size(c));
    grid g = {2, 1, 1};
    RUN(c, "order_columns", g, 256, &in, &rows, &x_columns, &numbers, &columns, &out);
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < columns; k++) want[r * columns + k] = order[k] < 0 ? 0 : x[r * x_columns + order[k]];
    compare(c, "order_columns", elements_of(c, out, count), want, count, 0, 0);
    end_case(c);
}

// --- Into the layout ---------------------------------------------------------------------------------------------------

/// The bytes of the matrix, as integers.
static void compare_bytes(check *c, const char *what, uint64_t address, const quantized *q, size_t first, size_t count) {
    uint8_t *bytes = host_memory(c, count);
    int *got = host_memory(c, 4 * count), *want = host_memory(c, 4 * count);
    copy_from_device(c, bytes, address + first, count);
    for (size_t i = 0; i < count; i++) got[i] = bytes[i], want[i] = q->bytes[first + i];
    compare_integers(c, what, got, want, count);
}

/// Panels of 64 rows as the CPU backend packs them; see swiftlet_matrix and swiftlet_groups.
static uint64_t make_panels(check *c, const quantized *q, bool gated) {
    int per_panel = gated ? 32 : 64, half = gated ? q->rows / 2 : q->rows, panels = (half + per_panel - 1) / per_panel;
    int groups = group_count(q), lines = (group_columns(q) + 1) / 2, header = q->has_zeros ? 192 : 128;
    size_t bytes = q->format == INT4 ? (size_t)groups * (size_t)header + (size_t)((q->columns + 1) / 2) * 64
                                     : (size_t)((q->columns + 3) / 4 + 2) * 256;
    uint8_t *all = host_memory(c, bytes * (size_t)panels);
    for (int r = 0; r < q->rows; r++) {
        int in_half = r % half, lane = in_half % per_panel + (gated && r >= half ? 32 : 0);
        uint8_t *panel = all + (size_t)(in_half / per_panel) * bytes;
        for (int g = 0; g < groups; g++) {
            uint8_t *group = panel + (size_t)g * (size_t)(header + lines * 64);
            if (q->format != INT4) memcpy(panel + bytes - 512 + 4 * lane, &q->scales[r], 4);
            else memcpy(group + 2 * lane, &q->scale_bits[r * groups + g], 2);
            if (q->has_zeros) group[128 + lane] = q->zeros[r * groups + g];
        }
        for (int k = 0; k < q->columns; k++) {
            uint8_t byte = q->integers[r * q->columns + k];
            if (q->format == INT8) panel[k / 4 * 256 + 4 * lane + k % 4] = byte;
            if (q->format != INT4) continue;
            int g = k / group_columns(q), in = k % group_columns(q);
            uint8_t *line = panel + (size_t)g * (size_t)(header + lines * 64) + header + in / 2 * 64;
            line[lane % 16 * 4 + in % 2 * 2 + lane / 32] |= (uint8_t)(byte << (lane / 16 % 2 * 4));
        }
    }
    return device_memory(c, all, bytes * (size_t)panels);
}

static void check_arrange(check *c, quantized shape, int rows, bool gated) {
    shape.rows = rows;
    quantized *q = make_quantized(c, shape);
    uint64_t out = device_memory(c, NULL, matrix_bytes(q));
    int group = group_columns(q), is_gated = gated, first = 2, count = rows - 3, flip = 0x80;
    grid g = {2, 1, 1};
    if (q->format == INT4 || (q->format == INT8 && q->group == 0)) {
        uint64_t panels = make_panels(c, q, gated);
        RUN(c, "arrange_panels", g, 256, &panels, &q->format, &q->rows, &q->columns, &is_gated, &group, &q->layout, &out);
        compare_bytes(c, "arrange_panels", out, q, 0, matrix_bytes(q));
    }
    if (q->format != INT4 && rows > 3) {
        size_t size = (size_t)(count * q->columns), row_bytes = (size_t)block_count(q) * 64;
        uint8_t *natural = host_memory(c, size);
        for (size_t i = 0; i < size; i++) natural[i] = q->integers[(size_t)(first * q->columns) + i] ^ 0x80;
        uint64_t source = device_memory(c, natural, size);
        uint64_t arranged = device_memory(c, NULL, (size_t)(first + count) * row_bytes);
        RUN(c, "arrange_bytes", g, 256, &source, &first, &count, &q->columns, &flip, &arranged);
        compare_bytes(c, "arrange_bytes", arranged, q, (size_t)first * row_bytes, (size_t)count * row_bytes);
    }
    end_case(c);
}

void check_quantized_layouts(check *c) {
    for (int i = 0; i < QUANTIZED_SHAPES; i++) {
        check_expand(c, quantized_shapes[i]);
        check_arrange(c, quantized_shapes[i], i % 2 ? 130 : 70, i % 2 != 0);
    }
    check_expand(c, (quantized){.format = INT4, .columns = 173});
    check_expand(c, (quantized){.format = INT8, .columns = 37});
    check_arrange(c, (quantized){.format = INT4, .columns = 173, .has_zeros = true}, 5, false);
    check_arrange(c, (quantized){.format = INT4, .columns = 100, .group = 64}, 12, true);
    check_arrange(c, (quantized){.format = INT8, .columns = 37}, 66, false);
    check_order(c, 5, 64, 96);
    check_order(c, 3, 37, 37);
}

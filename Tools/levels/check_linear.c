// check_linear.c: matrix products and RMS norms against double precision, and in other groupings of rows.
// Owner: Tools/levels/run. Invariant: see check.h.

#include "check.h"

typedef struct {
    int32_t rows, columns, tokens;
    swiftlet_dtype dtype, out_type;
    swiftlet_epilogue epilogue;
    float *weights;  // [rows, columns], as the format keeps them
    float *values;   // [tokens, columns], what the products take x for
    void *x;         // [tokens, x_stride]
    float *bias;     // [rows] or NULL
    float *initial;  // [tokens, out_stride]
    size_t x_stride, out_stride;
    swiftlet_matrix matrix;
} problem;

/// Rows of values as integers keep them: the largest magnitude of a block of columns becomes `most`.
static void round_to_integers(float *values, int32_t rows, int32_t columns, int32_t block, float most) {
    for (int32_t row = 0; row < rows; row++, values += columns)
        for (int32_t first = 0; first < columns; first += block) {
            int32_t end = first + block < columns ? first + block : columns;
            float largest = 0;
            for (int32_t c = first; c < end; c++) largest = fmaxf(largest, fabsf(values[c]));
            float inverse = largest > 0 ? most / largest : 0;
            for (int32_t c = first; c < end; c++) values[c] = rintf(values[c] * inverse) * (largest / most);
        }
}

/// Random four-bit weights, packed, and what they stand for. Gate and up of a gated matrix are one source each.
static void pack_int4(const check_level *level, problem *p, uint64_t *seed) {
    int32_t group = (int32_t[]){0, 32, 64, 128}[random_bits(seed) % 4], per_group = group > 0 ? group : p->columns;
    int32_t groups = (p->columns + per_group - 1) / per_group;
    int32_t words = (p->columns + 7) / 8, zero_words = (groups + 7) / 8;  // of a row
    bool f16 = random_bits(seed) % 2, has_zeros = random_bits(seed) % 2;
    p->matrix.groups = (swiftlet_groups){.columns = group, .has_zeros = has_zeros, .scales_are_f16 = f16};
    p->matrix.words = swiftlet_allocate(swiftlet_matrix_bytes(&p->matrix));
    uint32_t *integers = zeroed((size_t)p->rows * (size_t)words * 4);
    uint32_t *zeros = zeroed((size_t)p->rows * (size_t)zero_words * 4);
    uint16_t *scales = zeroed((size_t)p->rows * (size_t)groups * 2);
    for (int32_t i = 0; i < p->rows * words; i++) integers[i] = (uint32_t)random_bits(seed);
    for (int32_t i = 0; i < p->rows * zero_words; i++) zeros[i] = has_zeros ? (uint32_t)random_bits(seed) : 0x88888888;
    for (int32_t i = 0; i < p->rows * groups; i++)  // 1.5 times powers of two
        scales[i] = (uint16_t)(f16 ? 0x2200 + 0x400 * random_int(seed, 0, 3) : 0x3c40 + 0x80 * random_int(seed, 0, 3));
    for (int32_t i = 0; i < p->rows * p->columns; i++) {
        int32_t row = i / p->columns, column = i % p->columns, g = column / per_group, bits = scales[row * groups + g];
        float scale = f16 ? ldexpf(1.5f, (bits >> 10) - 15) : ldexpf(1.5f, (bits >> 7) - 127);
        uint32_t zero = zeros[row * zero_words + g / 8] >> (4 * (g % 8)) & 15;
        uint32_t integer = integers[row * words + column / 8] >> (4 * (column % 8)) & 15;
        p->weights[i] = (float)((int32_t)integer - (int32_t)zero) * scale;
    }
    int32_t half = p->matrix.gated ? p->rows / 2 : p->rows;
    swiftlet_int4_source sources[2];
    int32_t count = 0;
    for (int32_t first = 0; first < p->rows; first += half) {
        sources[count++] = (swiftlet_int4_source){
            .weights = {integers + first * words, (size_t)words, 1, false, {0, 4, 8, 12, 16, 20, 24, 28}},
            .zeros = {zeros + first * zero_words, (size_t)zero_words, 1, false, {0, 4, 8, 12, 16, 20, 24, 28}},
            .scales = scales + first * groups, .scale_type = f16 ? SWIFTLET_SOURCE_F16 : SWIFTLET_SOURCE_BF16,
            .scale_row_stride = (size_t)groups, .scale_group_stride = 1, .rows = half,
            .part = !p->matrix.gated ? SWIFTLET_PART_WHOLE : first == 0 ? SWIFTLET_PART_GATE : SWIFTLET_PART_UP,
        };
    }
    swiftlet_int4_pack pack = {.matrix = p->matrix, .sources = sources, .source_count = count};
    swiftlet_pack_int4(level->three, &pack, 1);
    free(integers), free(zeros), free(scales);
}

static void pack_floats(const check_level *level, problem *p) {
    p->matrix.words = swiftlet_allocate(swiftlet_matrix_bytes(&p->matrix));
    int32_t half = p->matrix.gated ? p->rows / 2 : p->rows, columns = p->columns;
    swiftlet_pack_rows(level->three, &p->matrix, p->matrix.gated ? SWIFTLET_PART_GATE : SWIFTLET_PART_WHOLE, 0, half,
                       p->weights, SWIFTLET_SOURCE_F32, (size_t)columns);
    if (p->matrix.gated)
        swiftlet_pack_rows(level->three, &p->matrix, SWIFTLET_PART_UP, 0, half, p->weights + half * columns,
                           SWIFTLET_SOURCE_F32, (size_t)columns);
}

static problem make_problem(const check_level *level, uint64_t seed, swiftlet_dtype dtype, swiftlet_weights format,
                            int32_t rows, int32_t columns, int32_t tokens, swiftlet_epilogue epilogue) {
    bool gated = epilogue == SWIFTLET_GATED_SILU || epilogue == SWIFTLET_GATED_GELU;
    problem p = {.rows = gated ? (rows + 1) / 2 * 2 : rows, .columns = columns, .tokens = tokens, .dtype = dtype,
                 .epilogue = epilogue, .x_stride = (size_t)columns + seed % 3};
    p.out_type = epilogue == SWIFTLET_STORE_FLOAT || epilogue == SWIFTLET_ADD_FLOAT ? SWIFTLET_FLOAT32 : dtype;
    p.out_stride = (size_t)(gated ? p.rows / 2 : p.rows) + 3;
    p.weights = zeroed((size_t)p.rows * (size_t)columns * 4);
    for (int32_t i = 0; i < p.rows * columns; i++) p.weights[i] = rounded(random_float(&seed), dtype);
    p.x = zeroed((size_t)tokens * p.x_stride * 4);
    for (size_t i = 0; i < (size_t)tokens * p.x_stride; i++)  // huge after the columns: must not be read
        set_element(p.x, dtype, i, i % p.x_stride < (size_t)columns ? random_float(&seed) : 0x1.fep127f);
    if (random_bits(&seed) % 2) p.bias = zeroed((size_t)p.rows * 4);
    for (int32_t i = 0; p.bias && i < p.rows; i++) p.bias[i] = random_float(&seed);
    p.initial = zeroed((size_t)tokens * p.out_stride * 4);
    for (size_t i = 0; i < (size_t)tokens * p.out_stride; i++) p.initial[i] = random_float(&seed);
    p.values = zeroed((size_t)tokens * (size_t)columns * 4);
    for (int32_t i = 0; i < tokens * columns; i++)
        p.values[i] = element(p.x, dtype, (size_t)(i / columns) * p.x_stride + (size_t)(i % columns));
    p.matrix = (swiftlet_matrix){.rows = p.rows, .columns = columns, .dtype = dtype, .format = format, .gated = gated};
    if (format == SWIFTLET_WEIGHTS_INT4) pack_int4(level, &p, &seed);
    else pack_floats(level, &p);
    if (format == SWIFTLET_WEIGHTS_INT8) {
        round_to_integers(p.weights, p.rows, columns, columns, 127);
        round_to_integers(p.values, tokens, columns, columns, 127);
    } else if (swiftlet_multiplies_integers(level->one, dtype, format)) {
        int32_t group = p.matrix.groups.columns > 0 ? p.matrix.groups.columns : columns;
        round_to_integers(p.values, tokens, columns, group <= 32 ? 32 : 64, 32767);
    }
    return p;
}

static void free_problem(problem *p) {
    swiftlet_release(p->matrix.words, swiftlet_matrix_bytes(&p->matrix));
    free(p->weights);
    free(p->values);
    free(p->x);
    free(p->bias);
    free(p->initial);
}

/// The outputs [tokens, out_stride] when `group` tokens are multiplied at a time.
static uint8_t *run_linear(swiftlet_cpu *cpu, const problem *p, int32_t group) {
    size_t row = p->out_stride * size_of(p->out_type);
    uint8_t *out = zeroed((size_t)p->tokens * row);
    if (p->epilogue == SWIFTLET_ADD_FLOAT) memcpy(out, p->initial, (size_t)p->tokens * row);
    for (int32_t t = 0; t < p->tokens; t += group)
        swiftlet_linear(cpu, &p->matrix, (uint8_t *)p->x + (size_t)t * p->x_stride * size_of(p->dtype), p->x_stride,
                        p->tokens - t < group ? p->tokens - t : group, p->bias, p->epilogue, out + (size_t)t * row,
                        p->out_stride);
    return out;
}

static double activated(swiftlet_epilogue epilogue, double x) {
    if (epilogue == SWIFTLET_GATED_SILU) return x / (1 + exp(-x));
    return x / (1 + exp(-2 * sqrt(2 / 3.14159265358979) * (x + 0.044715 * x * x * x)));
}

/// W x + bias of one row; adds the terms' magnitudes to *magnitude.
static double exact_row(const problem *p, int32_t token, int32_t row, double *magnitude) {
    double value = p->bias ? p->bias[row] : 0;
    *magnitude = fabs(value);
    for (int32_t c = 0; c < p->columns; c++) {
        double term = (double)p->weights[row * p->columns + c] * (double)p->values[token * p->columns + c];
        value += term;
        *magnitude += fabs(term);
    }
    return value;
}

static void compare_linear(const check_level *level, const problem *p, const uint8_t *out) {
    double worst = 0;
    int32_t outputs = p->matrix.gated ? p->rows / 2 : p->rows;
    for (int32_t t = 0; t < p->tokens; t++)
        for (int32_t o = 0; o < outputs; o++) {
            double magnitude, up_magnitude, wanted = exact_row(p, t, o, &magnitude), bound = magnitude * 1e-6 + 1e-6;
            if (p->epilogue == SWIFTLET_ADD_FLOAT) wanted += (double)p->initial[(size_t)t * p->out_stride + (size_t)o];
            if (p->matrix.gated) {
                double up = exact_row(p, t, outputs + o, &up_magnitude), active = activated(p->epilogue, wanted);
                wanted = active * up;
                bound = bound * 1.2 * (fabs(up) + 1) + fabs(active) * up_magnitude * 1e-6;
            }
            if (p->out_type == SWIFTLET_BFLOAT16) bound += fabs(wanted) * 0x1p-8;
            double got = (double)element(out, p->out_type, (size_t)t * p->out_stride + (size_t)o);
            double error = fabs(got - wanted) / bound;
            if (!(error <= worst)) worst = error;
        }
    CHECK(worst <= 1, "%s %s, format %d: %d x %d, %d tokens, epilogue %d: %g times the bound", level->name,
          name_of(p->dtype), (int)p->matrix.format, p->rows, p->columns, p->tokens, (int)p->epilogue, worst);
}

static void check_problem(const check_level *level, problem *p) {
    size_t bytes = (size_t)p->tokens * p->out_stride * size_of(p->out_type);
    uint8_t *all = run_linear(level->one, p, p->tokens);
    compare_linear(level, p, all);
    static const int32_t groups[] = {1, 2, 3, 4, 5, 6, 7, 13, 1000};
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
        uint8_t *other = run_linear(level->three, p, groups[i]);
        CHECK(memcmp(all, other, bytes) == 0, "%s %s, format %d: %d x %d, %d tokens, groups of %d", level->name,
              name_of(p->dtype), (int)p->matrix.format, p->rows, p->columns, p->tokens, groups[i]);
        free(other);
    }
    free(all);
    free_problem(p);
}

static void check_format(const check_level *level, swiftlet_dtype dtype, swiftlet_weights format) {
    for (uint64_t seed = 0; seed < 40; seed++) {
        uint64_t state = seed + 1;
        int32_t columns = random_int(&state, 1, seed % 4 ? 40 : 300), rows = random_int(&state, 1, 200);
        problem p = make_problem(level, seed, dtype, format, rows, columns, random_int(&state, 1, seed % 3 ? 9 : 40),
                                 (swiftlet_epilogue)(seed % 5));
        check_problem(level, &p);
    }
    problem longer = make_problem(level, 7, dtype, format, 70, 2309, 9, SWIFTLET_STORE_FLOAT);
    check_problem(level, &longer);
    problem more = make_problem(level, 8, dtype, format, 66, 129, 205, SWIFTLET_STORE_FLOAT);
    check_problem(level, &more);
}

void check_linear(const check_level *level) {
    for (int dtype = 0; dtype < 2; dtype++) {
        check_format(level, (swiftlet_dtype)dtype, SWIFTLET_WEIGHTS_NATIVE);
        check_format(level, (swiftlet_dtype)dtype, SWIFTLET_WEIGHTS_INT8);
        check_format(level, (swiftlet_dtype)dtype, SWIFTLET_WEIGHTS_INT4);
    }
}

void check_norm(const check_level *level) {
    for (uint64_t seed = 0; seed < 24; seed++) {
        uint64_t state = seed;
        swiftlet_dtype dtype = (swiftlet_dtype)(seed % 2);
        int32_t columns = random_int(&state, 1, 700), count = random_int(&state, 1, 20);
        size_t cells = (size_t)count * (size_t)columns;
        float *x = zeroed(cells * 4), *weight = zeroed((size_t)columns * 4);
        for (size_t i = 0; i < cells; i++) x[i] = random_float(&state) * 3;
        for (int32_t c = 0; c < columns; c++) weight[c] = random_float(&state);
        uint8_t *out = zeroed(cells * 4), *other = zeroed(cells * 4);
        size_t stride = (size_t)columns, bytes = stride * size_of(dtype);
        swiftlet_rms_norm(level->three, x, stride, NULL, count, columns, weight, 1e-6f, dtype, out, stride);
        double worst = 0;
        for (int32_t t = 0; t < count; t++) {
            swiftlet_rms_norm(level->one, x + (size_t)t * stride, stride, NULL, 1, columns, weight, 1e-6f, dtype,
                              other + (size_t)t * bytes, stride);
            double squares = 0;
            for (int32_t c = 0; c < columns; c++) squares += (double)x[t * columns + c] * (double)x[t * columns + c];
            double inverse = 1 / sqrt(squares / columns + 1e-6);
            for (int32_t c = 0; c < columns; c++) {
                double wanted = (double)x[t * columns + c] * inverse * (double)weight[c];
                double bound = fabs(wanted) * (dtype == SWIFTLET_BFLOAT16 ? 0x1.01p-8 : 4e-7) + 1e-12;
                double error = fabs((double)element(out, dtype, (size_t)(t * columns + c)) - wanted) / bound;
                if (!(error <= worst)) worst = error;
            }
        }
        CHECK(worst <= 1, "%s %s: %d rows of %d: %g times the bound", level->name, name_of(dtype), count, columns,
              worst);
        CHECK(memcmp(out, other, cells * size_of(dtype)) == 0, "%s: rows depend on each other", level->name);
        free(x), free(weight), free(out), free(other);
    }
}

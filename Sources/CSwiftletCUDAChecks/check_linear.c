// check_linear.c: checks of the products of few rows and of the epilogues behind cublasLt.
//
// Invariant: a row alone gives the very bits that it gives beside others.

#include "check.h"

static double gelu(double x) { return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }

enum { STORE_FLOAT, STORE_ELEMENT, ADD_FLOAT, STORE_CAPPED, GATED_SILU, GATED_GELU, EPILOGUES };

static bool is_float(int epilogue) { return epilogue == STORE_FLOAT || epilogue == ADD_FLOAT || epilogue == STORE_CAPPED; }

/// What an epilogue makes of sums [rows, outs or 2 outs].
static void finish(int epilogue, const double *sums, int rows, int outs, const float *bias, double cap,
                   const float *before, float *out) {
    int width = epilogue >= GATED_SILU ? 2 * outs : outs;
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outs; o++) {
            double y = sums[r * width + o] + (bias ? (double)bias[o] : 0);
            if (epilogue >= GATED_SILU) {
                double up = sums[r * width + outs + o] + (bias ? (double)bias[outs + o] : 0);
                y = (epilogue == GATED_SILU ? y / (1 + exp(-y)) : gelu(y)) * up;
            }
            if (epilogue == ADD_FLOAT) y += (double)before[r * outs + o];
            if (epilogue == STORE_CAPPED) y = cap * tanh(y / cap);
            out[r * outs + o] = (float)y;
        }
}

typedef struct {
    int rows, columns, outs, epilogue;
    bool has_bias;
} product;

static void check_product(check *c, product p) {
    int width = p.epilogue >= GATED_SILU ? 2 * p.outs : p.outs;
    float cap = 0.7f, scale = 1 / sqrtf((float)p.columns), *x = random_floats(c, (size_t)(p.rows * p.columns));
    float *w = random_floats(c, (size_t)(width * p.columns)), *bias = random_floats(c, (size_t)width);
    for (int i = 0; i < width * p.columns; i++) w[i] *= 3 * scale;
    size_t count = (size_t)(p.rows * p.outs), bytes = count * (is_float(p.epilogue) ? 4 : element_size(c));
    float *before = random_floats(c, count), *want = host_memory(c, 4 * count);
    uint64_t input = device_elements(c, x, (size_t)(p.rows * p.columns));
    uint64_t matrix = device_elements(c, w, (size_t)(width * p.columns));
    uint64_t biases = p.has_bias ? device_floats(c, bias, (size_t)width) : 0;
    uint64_t out = device_memory(c, is_float(p.epilogue) ? before : NULL, bytes);
    double *sums = host_memory(c, sizeof(double) * (size_t)(p.rows * width));
    for (int r = 0; r < p.rows; r++)
        for (int o = 0; o < width; o++)
            for (int k = 0; k < p.columns; k++)
                sums[r * width + o] += (double)x[r * p.columns + k] * (double)w[o * p.columns + k];
    finish(p.epilogue, sums, p.rows, p.outs, p.has_bias ? bias : NULL, (double)cap, before, want);

    const char *name = p.rows == 1   ? "linear_small_1"
                       : p.rows == 2 ? "linear_small_2"
                       : p.rows <= 4 ? "linear_small_4"
                                     : "linear_small_8";
    grid g = {(unsigned)(p.outs + 7) / 8, 1, 1};
    RUN(c, name, g, 256, &input, &p.rows, &p.columns, &matrix, &p.outs, &biases, &p.epilogue, &cap, &out);
    float *got = is_float(p.epilogue) ? floats_of(c, out, count) : elements_of(c, out, count);
    double relative = is_float(p.epilogue) || c->shapes->compute_float ? 1e-5 : 1.0 / 250;
    compare(c, name, got, want, count, 2e-5, relative);

    // The last row alone.
    int one = 1, last = p.rows - 1;
    uint64_t row = input + (uint64_t)(last * p.columns) * element_size(c);
    if (row % 16 == 0) {
        uint64_t alone = device_memory(c, before + last * p.outs, bytes / (size_t)p.rows);
        RUN(c, "linear_small_1", g, 256, &row, &one, &p.columns, &matrix, &p.outs, &biases, &p.epilogue, &cap, &alone);
        float *same = is_float(p.epilogue) ? floats_of(c, alone, (size_t)p.outs) : elements_of(c, alone, (size_t)p.outs);
        compare(c, "a row alone", same, got + last * p.outs, (size_t)p.outs, 0, 0);
    }

    float *products = host_memory(c, 4 * (size_t)(p.rows * width));
    for (int i = 0; i < p.rows * width; i++) products[i] = (float)sums[i];
    uint64_t y = device_floats(c, products, (size_t)(p.rows * width));
    uint64_t finished = device_memory(c, is_float(p.epilogue) ? before : NULL, bytes);
    grid few = {2, 1, 1};
    RUN(c, "linear_finish", few, 256, &y, &p.rows, &p.outs, &biases, &p.epilogue, &cap, &finished);
    got = is_float(p.epilogue) ? floats_of(c, finished, count) : elements_of(c, finished, count);
    compare(c, "linear_finish", got, want, count, 2e-5, relative);
    end_case(c);
}

void check_linear(check *c) {
    static const int columns[] = {8, 40, 172, 1, 256, 1024, 1352, 2560};
    static const int outs[] = {1, 7, 8, 30, 17};
    int number = 0;
    for (int rows = 1; rows <= 8; rows++)
        for (int i = 0; i < 8; i++, number++) {
            if (c->size == 0 && (rows + i) % 2 == 1) continue;
            check_product(c, (product){rows, columns[i], outs[number % 5], number % EPILOGUES, number % 4 < 2});
        }
    for (int epilogue = 0; epilogue < EPILOGUES; epilogue++)
        for (int kind = 0; kind < 4; kind++)
            check_product(c, (product){3, 64, kind & 1 ? 9 : 12, epilogue, (kind & 2) != 0});
}

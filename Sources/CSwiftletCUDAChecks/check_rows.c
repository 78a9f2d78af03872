// check_rows.c: checks of what kernels do to rows: where they stand, embeddings, norms, random weights.
//
// Invariant: operands have exactly the bytes that a kernel may touch.

#include "check.h"

// --- Steps -----------------------------------------------------------------------------------------------------------

static void check_step_rows(check *c, const batch *b, uint64_t words, int max_rows, uint64_t *sequences) {
    size_t bytes = (size_t)max_rows * 4;
    uint64_t positions = device_memory(c, NULL, bytes), slots = device_memory(c, NULL, bytes);
    *sequences = device_memory(c, NULL, bytes);
    grid g = {(unsigned)(max_rows + 255) / 256, 1, 1};
    RUN(c, "step_rows", g, 256, &words, &max_rows, sequences, &positions, &slots);
    int *want = host_memory(c, 3 * bytes), *got = host_memory(c, 3 * bytes);
    for (int r = 0; r < max_rows; r++) {
        bool exists = r < b->tokens;
        want[r] = exists ? b->row_sequence[r] : -1;
        want[max_rows + r] = exists ? b->row_position[r] : 0;
        want[2 * max_rows + r] = exists ? slot_of(c, b, b->row_sequence[r], b->row_position[r]) : -1;
    }
    copy_from_device(c, got, *sequences, bytes);
    copy_from_device(c, got + max_rows, positions, bytes);
    copy_from_device(c, got + 2 * max_rows, slots, bytes);
    compare_integers(c, "step_rows", got, want, 3 * (size_t)max_rows);
}

static void check_embed(check *c, const batch *b, uint64_t words, int max_rows, uint64_t sequences, int columns) {
    int first_id = 7, table_rows = 30;
    float scale = 1.5f, *table = random_floats(c, (size_t)(table_rows * columns));
    uint64_t rows = device_elements(c, table, (size_t)(table_rows * columns));
    size_t count = (size_t)max_rows * (size_t)columns;
    uint64_t x = device_memory(c, NULL, 4 * count);
    grid g = {(unsigned)max_rows, 1, 1};
    RUN(c, "embed", g, 256, &words, &sequences, &rows, &first_id, &table_rows, &columns, &scale, &x);
    float *want = host_memory(c, 4 * count);
    for (int r = 0; r < b->tokens; r++) {
        int id = b->ids[r] - first_id;
        for (int i = 0; i < columns && id >= 0 && id < table_rows; i++)
            want[(size_t)r * (size_t)columns + (size_t)i] = scale * table[id * columns + i];
    }
    compare(c, "embed", floats_of(c, x, count), want, count, 0, 1e-6);
}

static void check_gather(check *c, int rows, int columns, const int *ends, int ranks) {
    size_t count = (size_t)rows * (size_t)columns;
    float *whole = random_floats(c, count), *parts = host_memory(c, 4 * count);
    for (int rank = 0, begin = 0; rank < ranks; begin = ends[rank++])
        for (int r = 0; r < rows; r++)
            for (int i = begin; i < ends[rank]; i++)
                parts[rows * begin + r * (ends[rank] - begin) + i - begin] = whole[r * columns + i];
    uint64_t in = device_floats(c, parts, count), places = device_memory(c, ends, (size_t)ranks * sizeof(int));
    uint64_t out = device_memory(c, NULL, 4 * count);
    grid g = {(unsigned)(columns + 255) / 256, (unsigned)rows, 1};
    RUN(c, "gather_columns", g, 256, &in, &places, &ranks, &rows, &columns, &out);
    compare(c, "gather_columns", floats_of(c, out, count), whole, count, 0, 0);
    end_case(c);
}

void check_steps(check *c) {
    static const int ends[] = {64, 70, 331};
    check_gather(c, 3, 331, ends, 3);
    check_gather(c, 1, 70, ends, 2);
    check_gather(c, 5, 64, ends, 1);
    static const int rows[][6] = {{1, 1, 1, 1, 1, 1}, {1, 37, 1, 2, 90, 1}, {200, 1, 1, 30, 1, 7}};
    static const int contexts[][6] = {{1, 16, 17, 300, 64, 65}, {3, 37, 513, 2, 150, 1}, {257, 1, 16, 31, 90, 7}};
    for (int i = 0; i < 3; i++) {
        for (int sequences = 1; sequences <= 6; sequences += 5) {
            batch *b = make_batch(c, sequences, rows[i], contexts[i]);
            int max_rows = b->tokens + (i == 1 ? 0 : 5);
            uint64_t words = device_batch(c, b), numbers;
            check_step_rows(c, b, words, max_rows, &numbers);
            check_embed(c, b, words, max_rows, numbers, i == 0 ? 173 : 64);
            end_case(c);
        }
    }
}

// --- Random weights ---------------------------------------------------------------------------------------------------

static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void check_fill(check *c, int rows, int columns) {
    size_t count = (size_t)rows * (size_t)columns;
    uint64_t out = device_memory(c, NULL, count * element_size(c)), seed = 12345;
    float scale = 0.25f, *want = host_memory(c, 4 * count);
    grid g = {2, 1, 1};
    RUN(c, "fill_random", g, 256, &out, &rows, &columns, &seed, &scale);
    for (size_t i = 0; i < count; i++) {
        uint64_t row = i / (size_t)columns, column = i % (size_t)columns;
        uint64_t bits = mixed(mixed(seed ^ mixed(row + 1)) + column * 0x9e3779b97f4a7c15u);
        want[i] = as_element(c, ((float)(bits >> 40) * 0x1p-23f - 1) * scale);
    }
    compare(c, "fill_random", elements_of(c, out, count), want, count, 0, 0);
}

void check_fills(check *c) {
    check_fill(c, 5, 173);
    check_fill(c, 40, 64);
}

// --- Norms -----------------------------------------------------------------------------------------------------------

static const float epsilon = 1e-5f;

/// out[i] = x[i] / rms * weight[i]; x itself without a weight.
static void norm(const float *x, int columns, const float *weight, float *out) {
    double sum = 0;
    for (int i = 0; i < columns; i++) sum += (double)x[i] * (double)x[i];
    double scale = 1 / sqrt(sum / columns + (double)epsilon);
    for (int i = 0; i < columns; i++) out[i] = weight ? (float)((double)x[i] * scale * (double)weight[i]) : x[i];
}

static double tolerance(const check *c) { return c->shapes->compute_float ? 1e-5 : 1.0 / 250; }

static void check_norm_rows(check *c, int columns, bool is_weighted) {
    int rows = 5;
    float *x = random_floats(c, (size_t)(rows * columns)), *weight = random_floats(c, (size_t)columns);
    uint64_t in = device_floats(c, x, (size_t)(rows * columns)), out;
    uint64_t weights = is_weighted ? device_floats(c, weight, (size_t)columns) : 0;
    size_t values = (size_t)(rows * columns);
    out = device_memory(c, NULL, values * element_size(c));
    float *want = host_memory(c, 4 * values);
    for (int r = 0; r < rows; r++) norm(x + r * columns, columns, is_weighted ? weight : NULL, want + r * columns);
    grid g = {(unsigned)rows, 1, 1};
    float e = epsilon;
    RUN(c, "rms_norm", g, 256, &in, &columns, &weights, &e, &out);
    compare(c, "rms_norm", elements_of(c, out, values), want, values, 1e-6, tolerance(c));
    end_case(c);
}

static void check_logit_rows(check *c, int columns) {
    static const int rows[] = {3, 1, 4, 2}, contexts[] = {3, 5, 20, 2};
    batch *b = make_batch(c, 4, rows, contexts);
    uint64_t words = device_batch(c, b);
    float *x = random_floats(c, (size_t)(b->tokens * columns)), *weight = random_floats(c, (size_t)columns), e = epsilon;
    uint64_t in = device_floats(c, x, (size_t)(b->tokens * columns)), weights = device_floats(c, weight, (size_t)columns);
    int first = 1, count = 6;
    size_t values = (size_t)(count * columns);
    uint64_t out = device_memory(c, NULL, values * element_size(c));
    float *want = host_memory(c, 4 * values);
    for (int r = 0; first + r < b->logit_rows; r++)
        norm(x + b->logits[first + r] * columns, columns, weight, want + r * columns);
    grid g = {(unsigned)count, 1, 1};
    RUN(c, "rms_norm_logits", g, 256, &words, &first, &in, &columns, &weights, &e, &out);
    compare(c, "rms_norm_logits", elements_of(c, out, values), want, values, 1e-6, tolerance(c));
    end_case(c);
}

void check_norms(check *c) {
    static const int columns[] = {1, 5, 64, 172, 1024, 1030, 4100};
    for (int i = 0; i < 7; i++)
        for (int kind = 0; kind < 2; kind++) check_norm_rows(c, columns[i], kind == 1);
    check_logit_rows(c, 172);
    check_logit_rows(c, 33);
    float e = epsilon;
    for (int i = 0; i < 7; i++) {
        int n = columns[i], rows = 3;
        size_t values = (size_t)(n * rows);
        float *x = random_floats(c, values), *y = random_floats(c, values), *weight = random_floats(c, (size_t)n);
        float *want = host_memory(c, 4 * values);
        for (int r = 0; r < rows; r++) norm(x + r * n, n, weight, want + r * n);
        for (size_t j = 0; j < values; j++) want[j] += y[j];
        uint64_t in = device_floats(c, x, values), out = device_floats(c, y, values);
        uint64_t weights = device_floats(c, weight, (size_t)n);
        grid g = {(unsigned)rows, 1, 1};
        RUN(c, "add_normed", g, 256, &in, &n, &weights, &e, &out);
        compare(c, "add_normed", floats_of(c, out, values), want, values, 1e-5, 1e-5);
        end_case(c);
    }
}

void check_column_norms(check *c) {
    static const int firsts[] = {0, 3, 64, 128}, widths[] = {64, 40, 65, 1024};
    for (int i = 0; i < 4; i++) {
        int first = firsts[i], columns = widths[i], stride = first + columns + (i == 3 ? 0 : 9), rows = 4;
        int width = 2 * columns, squares_stride = 2, column = 1;
        size_t values = (size_t)(rows * stride);
        float *x = random_floats(c, values), *weight = random_floats(c, (size_t)columns), e = epsilon;
        float *want = host_memory(c, 4 * values), *squares = random_floats(c, (size_t)(2 * rows));
        uint64_t in = device_floats(c, x, values), weights = device_floats(c, weight, (size_t)columns);
        uint64_t sums = device_floats(c, squares, (size_t)(2 * rows));
        grid g = {(unsigned)rows, 1, 1};
        RUN(c, "square_sums", g, 256, &in, &stride, &first, &columns, &sums, &squares_stride, &column);
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int j = 0; j < columns; j++) sum += pow((double)x[r * stride + first + j], 2);
            squares[2 * r + 1] = (float)sum;
        }
        compare(c, "square_sums", floats_of(c, sums, (size_t)(2 * rows)), squares, (size_t)(2 * rows), 0, 1e-5);
        memcpy(want, x, 4 * values);
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < columns; j++)
                want[r * stride + first + j] *= weight[j] / sqrtf(squares[2 * r + 1] / (float)width + e);
        RUN(c, "rms_norm_squares", g, 256, &in, &stride, &first, &columns, &sums, &squares_stride, &column, &width, &weights, &e);
        compare(c, "rms_norm_squares", floats_of(c, in, values), want, values, 1e-6, 1e-5);

        memcpy(x, want, 4 * values);
        for (int r = 0; r < rows; r++) norm(x + r * stride + first, columns, weight, want + r * stride + first);
        RUN(c, "rms_norm_columns", g, 256, &in, &stride, &first, &columns, &weights, &e);
        compare(c, "rms_norm_columns", floats_of(c, in, values), want, values, 1e-5, 1e-4);
        end_case(c);
    }
}

// check_attention.c: checks of rope with the write into the paged cache, and of attention from it.
//
// Caches hold NaN wherever no position of the batch lies, outputs of rows that a kernel must leave alone hold a mark, and
// scores vary so much that every position matters to some row. Invariant: references read what the kernels read: rounded.

#include "check.h"

enum { LONGEST = 1100 };

static const float mark = 77;

/// The KV cache of a batch: values on the host, and on the device.
typedef struct {
    float *keys, *values;
    uint64_t device_keys, device_values;
    size_t count;
} cache;

static size_t cache_offset(const check *c, int slot, int head) {
    const struct swiftlet_cuda_shapes *s = c->shapes;
    int block = slot / s->block_size;
    return (size_t)((block * s->kv_heads + head) * s->block_size + slot % s->block_size) * (size_t)s->head_dim;
}

static cache make_cache(check *c, const batch *b, bool is_filled) {
    const struct swiftlet_cuda_shapes *s = c->shapes;
    cache k = {.count = (size_t)(b->blocks * s->kv_heads * s->block_size * s->head_dim)};
    k.keys = host_memory(c, 4 * k.count);
    k.values = host_memory(c, 4 * k.count);
    for (size_t i = 0; i < k.count; i++) k.keys[i] = k.values[i] = NAN;
    for (int q = 0; q < b->sequences && is_filled; q++)
        for (int position = 0; position < b->contexts[q]; position++)
            for (int head = 0; head < s->kv_heads; head++) {
                size_t at = cache_offset(c, slot_of(c, b, q, position), head);
                for (int d = 0; d < s->head_dim; d++) {
                    k.keys[at + (size_t)d] = random_float(c);
                    k.values[at + (size_t)d] = random_float(c);
                }
            }
    k.device_keys = device_cached(c, k.keys, k.count);
    k.device_values = device_cached(c, k.values, k.count);
    return k;
}

static int group_of(const check *c, int query_head) {
    return (query_head + c->shapes->skipped_query_heads) / c->shapes->query_group;
}

// --- Rope ------------------------------------------------------------------------------------------------------------

/// A head, normed and turned.
static void turn(const float *in, int head_dim, const float *weight, float epsilon, const float *rope, int rotary_dim,
                 float *out) {
    double x[256], sum = 0;
    for (int d = 0; d < head_dim; d++) sum += (double)in[d] * (double)in[d];
    double scale = 1 / sqrt(sum / head_dim + (double)epsilon);
    for (int d = 0; d < head_dim; d++) x[d] = weight ? (double)in[d] * scale * (double)weight[d] : (double)in[d];
    for (int d = 0; d < head_dim; d++) out[d] = (float)x[d];
    int half = rotary_dim / 2;
    for (int d = 0; d < half && rope; d++) {
        double cosine = (double)rope[d], sine = (double)rope[half + d];
        out[d] = (float)(x[d] * cosine - x[d + half] * sine);
        out[d + half] = (float)(x[d + half] * cosine + x[d] * sine);
    }
}

static void check_rope_case(check *c, bool norms, int rotary_dim) {
    const struct swiftlet_cuda_shapes *s = c->shapes;
    static const int rows[] = {1, 19, 1, 3}, contexts[] = {1, 40, 65, 3};
    batch *b = make_batch(c, 4, rows, contexts);
    int heads = s->query_heads + 2 * s->kv_heads, stride = heads * s->head_dim, total = b->tokens + 2;
    cache k = make_cache(c, b, false);
    float *qkv = random_floats(c, (size_t)(total * stride)), *query_norm = random_floats(c, (size_t)s->head_dim);
    float *key_norm = random_floats(c, (size_t)s->head_dim), *rope = random_floats(c, (size_t)(65 * rotary_dim + 1));
    float *values = qkv + 2 * stride + (s->query_heads + s->kv_heads) * s->head_dim;  // of row 2
    values[0] = NAN, values[1] = INFINITY, values[2] = -INFINITY;
    int *sequences = host_memory(c, 4 * (size_t)total), *positions = host_memory(c, 4 * (size_t)total);
    int *slots = host_memory(c, 4 * (size_t)total);
    size_t query_count = (size_t)(total * s->query_heads * s->head_dim);
    float *want = host_memory(c, 4 * query_count), epsilon = 1e-6f;
    for (size_t i = 0; i < query_count; i++) want[i] = mark;
    uint64_t queries = device_elements(c, want, query_count);
    for (int r = 0; r < total; r++) {
        bool exists = r < b->tokens;
        sequences[r] = exists ? b->row_sequence[r] : -1;
        positions[r] = exists ? b->row_position[r] : 0;
        slots[r] = exists ? slot_of(c, b, b->row_sequence[r], b->row_position[r]) : -1;
        for (int h = 0; h < heads && exists; h++) {
            const float *in = qkv + r * stride + h * s->head_dim, *turns = rope + positions[r] * rotary_dim;
            int head = (h - s->query_heads) % s->kv_heads;
            if (h < s->query_heads)
                turn(in, s->head_dim, norms ? query_norm : NULL, epsilon, rotary_dim ? turns : NULL, rotary_dim,
                     want + (r * s->query_heads + h) * s->head_dim);
            else if (h < s->query_heads + s->kv_heads)
                turn(in, s->head_dim, norms ? key_norm : NULL, epsilon, rotary_dim ? turns : NULL, rotary_dim,
                     k.keys + cache_offset(c, slots[r], head));
            else
                for (int d = 0; d < s->head_dim; d++) {
                    float v = in[d] != in[d] ? 0 : fminf(fmaxf(in[d], -0x1.fep127f), 0x1.fep127f);
                    k.values[cache_offset(c, slots[r], head) + (size_t)d] = as_cached(c, v);
                }
        }
    }
    uint64_t input = device_floats(c, qkv, (size_t)(total * stride));
    uint64_t a = device_memory(c, sequences, 4 * (size_t)total), p = device_memory(c, positions, 4 * (size_t)total);
    uint64_t o = device_memory(c, slots, 4 * (size_t)total), table = 0, query_weight = 0, key_weight = 0;
    if (norms) query_weight = device_floats(c, query_norm, (size_t)s->head_dim);
    if (norms) key_weight = device_floats(c, key_norm, (size_t)s->head_dim);
    if (rotary_dim) table = device_floats(c, rope, (size_t)(65 * rotary_dim));
    grid g = {(unsigned)total, (unsigned)heads, 1};
    RUN(c, "rope_and_store", g, 32, &input, &a, &p, &o, &stride, &query_weight, &key_weight, &epsilon, &table, &rotary_dim,
        &queries, &k.device_keys, &k.device_values);
    double relative = s->compute_float ? 1e-5 : 1.0 / 250, absolute = s->compute_float ? 2e-6 : 1e-5;
    compare(c, "queries", elements_of(c, queries, query_count), want, query_count, absolute, relative);
    for (size_t i = 0; i < k.count && s->kv_fp8; i++)
        if (k.keys[i] == k.keys[i]) k.keys[i] = as_cached(c, k.keys[i]);
    if (s->kv_fp8) absolute = 0x1p-9;  // it may round the other way
    compare(c, "keys", cached_of(c, k.device_keys, k.count), k.keys, k.count, absolute, s->kv_fp8 ? 1.0 / 8 : relative);
    compare(c, "values", cached_of(c, k.device_values, k.count), k.values, k.count, 0, 0);
    end_case(c);
}

void check_rope(check *c) {
    int half = c->shapes->head_dim / 2;
    check_rope_case(c, true, c->shapes->head_dim);
    check_rope_case(c, false, c->shapes->head_dim);
    check_rope_case(c, true, half % 2 == 0 ? half : 4);
    check_rope_case(c, false, 0);
}

// --- Attention ---------------------------------------------------------------------------------------------------------

typedef struct {
    float scale, cap;
    int window;
} rule;

/// out [head_dim] = attention of one row and query head.
static void attend(const check *c, const batch *b, const cache *k, int row, int head, const float *query, rule r,
                   float *out) {
    double scores[LONGEST];
    double maximum = -INFINITY, sum = 0, sums[256] = {0};
    int sequence = b->row_sequence[row], position = b->row_position[row], dim = c->shapes->head_dim;
    int first = r.window > 0 && position >= r.window ? position - r.window + 1 : 0;
    for (int p = first; p <= position; p++) {
        const float *key = k->keys + cache_offset(c, slot_of(c, b, sequence, p), group_of(c, head));
        double dot = 0;
        for (int d = 0; d < dim; d++) dot += (double)query[d] * (double)key[d];
        dot *= (double)r.scale;
        scores[p] = r.cap > 0 ? (double)r.cap * tanh(dot / (double)r.cap) : dot;
        if (scores[p] > maximum) maximum = scores[p];
    }
    for (int p = first; p <= position; p++) {
        const float *value = k->values + cache_offset(c, slot_of(c, b, sequence, p), group_of(c, head));
        double weight = exp(scores[p] - maximum);
        sum += weight;
        for (int d = 0; d < dim; d++) sums[d] += weight * (double)value[d];
    }
    for (int d = 0; d < dim; d++) out[d] = (float)(sums[d] / sum);
}

/// Rows of sequences with one row, or of the others, must be right; the others' keep their mark.
static void check_attention(check *c, int sequences, const int *rows, const int *contexts, bool decodes, int splits,
                            rule r) {
    const struct swiftlet_cuda_shapes *s = c->shapes;
    batch *b = make_batch(c, sequences, rows, contexts);
    cache k = make_cache(c, b, true);
    uint64_t words = device_batch(c, b);
    int width = s->query_heads * s->head_dim;
    size_t count = (size_t)(b->tokens * width);
    float *queries = random_floats(c, count), *want = host_memory(c, 4 * count);
    uint64_t q = device_elements(c, queries, count);
    for (size_t i = 0; i < count; i++) want[i] = mark;
    uint64_t out = device_elements(c, want, count);
    for (int row = 0; row < b->tokens; row++)
        for (int head = 0; head < s->query_heads; head++) {
            if ((rows[b->row_sequence[row]] == 1) != decodes) continue;
            attend(c, b, &k, row, head, queries + row * width + head * s->head_dim, r,
                   want + row * width + head * s->head_dim);
        }
    int bucket = sequences + 2, parts = (s->query_group + 15) / 16;
    if (decodes) {
        uint64_t partial = 0;
        if (splits > 1) partial = device_memory(c, NULL, 4 * (size_t)(sequences * s->query_heads * splits * (s->head_dim + 2)));
        grid g = {(unsigned)splits, (unsigned)(s->kv_heads * parts), (unsigned)bucket};
        unsigned threads = s->head_dim > 128 ? 32 : s->head_dim > 64 ? 64 : 128;
        RUN(c, "attention_decode", g, threads, &q, &words, &k.device_keys, &k.device_values, &r.scale, &r.cap, &r.window,
            &partial, &out);
        grid all = {(unsigned)bucket, (unsigned)s->query_heads, 1};
        if (splits > 1) RUN(c, "attention_combine", all, 128, &partial, &words, &splits, &r.window, &out);
    } else {
        int max_rows = b->tokens + 3;
        grid g = {(unsigned)(max_rows * s->query_group / 64 + bucket), (unsigned)s->kv_heads, 1};
        RUN(c, "attention_prefill", g, 128, &q, &words, &k.device_keys, &k.device_values, &r.scale, &r.cap, &r.window, &out);
    }
    double absolute = s->compute_float ? 2e-5 : 6e-3, relative = s->compute_float ? 1e-4 : 6e-3;
    float *got = elements_of(c, out, count);
    compare(c, decodes ? "attention_decode" : "attention_prefill", got, want, count, absolute, relative);
    double error = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        error += pow((double)got[i] - (double)want[i], 2);
        all += want[i] == mark ? 0 : pow((double)want[i], 2);
    }
    if (c->status == 0 && !(error <= all * (s->compute_float ? 1e-10 : 9e-6)))
        fail_check(c, "attention: relative error %g", sqrt(error / all));
    end_case(c);
}

static rule rule_of(const check *c, int kind) {
    float scale = 4 / sqrtf((float)c->shapes->head_dim);  // sharp: every position matters to some row
    rule rules[] = {{scale, 0, 0}, {scale, 0, 24}, {scale, 3, 0}, {scale, 2, 100}, {scale, 0, 1}};
    return rules[kind % 5];
}

void check_decode(check *c) {
    static const int lengths[] = {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 200, 255, 256, 257, 300, 511, 513};
    static const int one[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, mixed[] = {1, 3, 1, 1, 20};
    static const int mixed_lengths[] = {513, 90, 1, 140, 33};
    int turns = c->size == 0 ? 1 : 3;
    for (int turn = 0; turn < turns; turn++) {
        check_attention(c, 10, one, lengths, true, 1, rule_of(c, turn));
        check_attention(c, 10, one, lengths + 10, true, 3, rule_of(c, turn + 1));
        check_attention(c, 5, mixed, mixed_lengths, true, 2 + turn, rule_of(c, turn + 3));
        check_attention(c, 5, mixed, mixed_lengths, true, 1, rule_of(c, turn + 2));
        check_attention(c, 4, one, lengths + 16, true, 7, rule_of(c, turn));
        check_attention(c, 3, one, lengths + 17, true, 2, rule_of(c, turn + 4));
    }
}

void check_prefill(check *c) {
    static const int rows[][5] = {{2, 17, 64, 1, 33}, {130, 1, 5, 2, 2}, {65, 16, 15, 1, 40}};
    static const int contexts[][5] = {{2, 17, 64, 70, 33}, {130, 9, 300, 66, 65}, {129, 400, 128, 1, 513}};
    int turns = c->size == 0 ? 2 : 5;
    for (int turn = 0; turn < turns; turn++)
        for (int i = 0; i < 3; i++)
            if (c->size > 0 || (i + turn) % 2 == 0 || i == 0)
                check_attention(c, 5, rows[i], contexts[i], false, 1, rule_of(c, turn + i));
}

// check_attention.c: rotary embedding, the write into the paged cache and attention against double precision; and
// prompts in one piece against the same ones in chunks, bit for bit. Owner: Tools/levels/run. Invariant: see check.h.

#include "check.h"

enum { SEQUENCES = 2, LONGEST = 300, TABLE = LONGEST / 16 + 1 };

typedef struct {
    swiftlet_dtype dtype;
    int32_t head_dim, kv_heads, group, window, rotary_dim, width, columns;
    int32_t lengths[SEQUENCES];
    int32_t tables[SEQUENCES][TABLE];
    float scale, cap;
    float *qkv[SEQUENCES];  // [length, columns]
    float *rope;            // [LONGEST, rotary_dim]
    float *norm;            // [head_dim] or NULL
    swiftlet_kv_layer cache;
    size_t cache_bytes;
    uint8_t *q[SEQUENCES], *out[SEQUENCES];  // [length, width] of the run
} attention_case;

static attention_case make_case(uint64_t seed) {
    static const int32_t dims[] = {8, 16, 40, 64, 80, 128, 256}, groups[] = {1, 2, 3, 7, 8};
    static const int32_t windows[] = {0, 0, 17, 100};
    attention_case c = {.dtype = (swiftlet_dtype)(seed % 2), .head_dim = dims[random_int(&seed, 0, 6)],
                        .kv_heads = random_int(&seed, 1, 2), .group = groups[random_int(&seed, 0, 4)],
                        .window = windows[random_int(&seed, 0, 3)]};
    c.rotary_dim = random_bits(&seed) % 2 ? c.head_dim : c.head_dim / 2;
    c.cap = random_bits(&seed) % 3 ? 0 : 4;
    c.width = c.kv_heads * c.group * c.head_dim;
    c.columns = c.width + 2 * c.kv_heads * c.head_dim;
    c.scale = (random_bits(&seed) % 2 ? 1.0f : 6.0f) / sqrtf((float)c.head_dim);
    c.cache = (swiftlet_kv_layer){.block_size = random_bits(&seed) % 2 ? 16 : 64, .kv_heads = c.kv_heads, .group = c.group,
                                  .head_dim = c.head_dim, .dtype = c.dtype,
                                  .format = random_bits(&seed) % 3 ? SWIFTLET_KV_NATIVE : SWIFTLET_KV_INT8};
    c.cache_bytes = SEQUENCES * TABLE * swiftlet_kv_block_bytes(&c.cache);
    c.cache.base = swiftlet_allocate(c.cache_bytes);
    for (int32_t i = 0; i < SEQUENCES * TABLE; i++)  // blocks in an order of their own
        c.tables[i % SEQUENCES][i / SEQUENCES] = (i * 7 + 3) % (SEQUENCES * TABLE);
    if (random_bits(&seed) % 2) c.norm = zeroed((size_t)c.head_dim * 4);
    for (int32_t d = 0; c.norm && d < c.head_dim; d++) c.norm[d] = 1 + random_float(&seed) / 2;
    c.rope = zeroed(LONGEST * (size_t)c.rotary_dim * 4);
    for (int32_t p = 0; p < LONGEST; p++)
        for (int32_t d = 0, half = c.rotary_dim / 2; d < half; d++) {
            float angle = random_float(&seed) * 3;
            c.rope[p * c.rotary_dim + d] = cosf(angle);
            c.rope[p * c.rotary_dim + half + d] = sinf(angle);
        }
    for (int s = 0; s < SEQUENCES; s++) {
        c.lengths[s] = random_int(&seed, 1, seed % 3 ? 90 : LONGEST);
        size_t cells = (size_t)c.lengths[s] * (size_t)c.columns;
        c.qkv[s] = zeroed(cells * 4);
        for (size_t i = 0; i < cells; i++) c.qkv[s][i] = random_float(&seed) * 2;
        c.q[s] = zeroed((size_t)c.lengths[s] * (size_t)c.width * 4);
        c.out[s] = zeroed((size_t)c.lengths[s] * (size_t)c.width * 4);
    }
    return c;
}

static void free_case(attention_case *c) {
    swiftlet_release(c->cache.base, c->cache_bytes);
    free(c->rope), free(c->norm);
    for (int s = 0; s < SEQUENCES; s++) free(c->qkv[s]), free(c->q[s]), free(c->out[s]);
}

/// Tokens done[s]..<done[s] + counts[s] of every sequence, in one step.
static void run_step(swiftlet_cpu *cpu, attention_case *c, int32_t *done, const int32_t *counts) {
    int32_t offsets[SEQUENCES + 1] = {0}, contexts[SEQUENCES], tables[SEQUENCES * TABLE];
    int32_t sequences = 0, which[SEQUENCES];
    size_t row = (size_t)c->width * size_of(c->dtype), qkv_row = (size_t)c->columns * 4;
    uint8_t *q = zeroed(2 * LONGEST * row), *out = zeroed(2 * LONGEST * row), *qkv = zeroed(2 * LONGEST * qkv_row);
    for (int32_t s = 0; s < SEQUENCES; s++) {
        if (counts[s] == 0) continue;
        int32_t at = offsets[sequences];
        memcpy(qkv + (size_t)at * qkv_row, (uint8_t *)c->qkv[s] + (size_t)done[s] * qkv_row,
               (size_t)counts[s] * qkv_row);
        memcpy(tables + sequences * TABLE, c->tables[s], sizeof(c->tables[s]));
        contexts[sequences] = done[s] + counts[s];
        which[sequences++] = s;
        offsets[sequences] = at + counts[s];
    }
    swiftlet_paged_batch batch = {offsets[sequences], sequences, offsets, contexts, tables, TABLE};
    swiftlet_rope_and_store(cpu, &c->cache, &batch, (float *)qkv, (size_t)c->columns, c->kv_heads * c->group, c->norm,
                            c->norm, 1e-6f, c->rope, c->rotary_dim, q, (size_t)c->width);
    swiftlet_attention(cpu, &c->cache, &batch, q, (size_t)c->width, c->kv_heads * c->group, c->scale, c->cap, c->window,
                       out, (size_t)c->width);
    for (int32_t i = 0; i < sequences; i++) {
        int32_t s = which[i];
        memcpy(c->q[s] + (size_t)done[s] * row, q + (size_t)offsets[i] * row, (size_t)counts[s] * row);
        memcpy(c->out[s] + (size_t)done[s] * row, out + (size_t)offsets[i] * row, (size_t)counts[s] * row);
        done[s] += counts[s];
    }
    free(q), free(out), free(qkv);
}

/// A cached key or value, by the layout that CSwiftletKernels.h documents.
static double cached(const attention_case *c, bool value, int32_t sequence, int32_t head, int32_t position,
                     int32_t dim) {
    int32_t unit = c->dtype == SWIFTLET_BFLOAT16 ? 2 : 1, size = c->cache.block_size, slot = position % size;
    int32_t row = (c->head_dim + 15) / 16 * 16, key_words = size * c->head_dim / unit;
    int32_t block = c->tables[sequence][position / size], half = (value ? slot : dim) % unit;
    int32_t value_words = size / unit * row;
    int32_t at = value ? key_words + slot / unit * row + dim
                       : slot / 16 * (c->head_dim / unit) * 16 + dim / unit * 16 + slot % 16;
    if (c->cache.format == SWIFTLET_KV_INT8) {
        int32_t bytes = (key_words + value_words) * unit;
        const uint8_t *base = (const uint8_t *)c->cache.base + (block * c->kv_heads + head) * (bytes + 8 * size);
        float scale;
        memcpy(&scale, base + bytes + 4 * (slot + (value ? size : 0)), 4);
        return (double)scale * (int8_t)base[at * unit + half];
    }
    uint32_t word = c->cache.base[(block * c->kv_heads + head) * (key_words + value_words) + at];
    if (unit == 2) return (double)from_bf16((uint16_t)(half ? word >> 16 : word));
    float single;
    memcpy(&single, &word, 4);
    return (double)single;
}

/// One head of qkv after norm and rotation, in double precision.
static void rotated_head(const attention_case *c, int32_t sequence, int32_t position, int32_t head, double *out) {
    const float *in = c->qkv[sequence] + position * c->columns + head * c->head_dim;
    const float *rope = c->rope + position * c->rotary_dim;
    double squares = 0, x[256];
    for (int32_t d = 0; d < c->head_dim; d++) squares += (double)in[d] * (double)in[d];
    double inverse = c->norm ? 1 / sqrt(squares / c->head_dim + 1e-6) : 1;
    for (int32_t d = 0; d < c->head_dim; d++)
        out[d] = x[d] = (double)in[d] * inverse * (double)(c->norm ? c->norm[d] : 1);
    for (int32_t d = 0, half = c->rotary_dim / 2; d < half; d++) {
        out[d] = x[d] * (double)rope[d] - x[half + d] * (double)rope[half + d];
        out[half + d] = x[half + d] * (double)rope[d] + x[d] * (double)rope[half + d];
    }
}

/// The largest error of one position's queries, keys and values, as multiples of their bound.
static double rope_error(const attention_case *c, int32_t s, int32_t position) {
    double wanted[256], worst = 0, step = c->dtype == SWIFTLET_BFLOAT16 ? 0x1.01p-8 : 2e-6;
    for (int32_t head = 0; head < c->kv_heads * (c->group + 2); head++) {
        int32_t kv = head - c->kv_heads * c->group, values = kv >= c->kv_heads;
        if (!values) rotated_head(c, s, position, head, wanted);
        double largest = 0;
        for (int32_t d = 0; d < c->head_dim; d++) {
            if (values) wanted[d] = (double)c->qkv[s][position * c->columns + head * c->head_dim + d];
            if (fabs(wanted[d]) > largest) largest = fabs(wanted[d]);
        }
        double half = c->cache.format == SWIFTLET_KV_INT8 && kv >= 0 ? largest / 127 * 0.501 : 0;  // of a scale
        for (int32_t d = 0; d < c->head_dim; d++) {
            size_t at = (size_t)(position * c->width + head * c->head_dim + d);
            double got = kv < 0 ? (double)element(c->q[s], c->dtype, at)
                                : cached(c, values, s, kv % c->kv_heads, position, d);
            double error = fabs(got - wanted[d]) / (half > 0 ? half + 2e-6 : step * fabs(wanted[d]) + 2e-6);
            if (!(error <= worst)) worst = error;
        }
    }
    return worst;
}

/// The largest error of one row and query head, as multiples of its bound.
static double attention_error(const attention_case *c, int32_t s, int32_t position, int32_t head) {
    int32_t kv = head / c->group, first = c->window > 0 && position >= c->window ? position - c->window + 1 : 0;
    double score[LONGEST], high = -1e300, total = 0, worst = 0;
    size_t at = (size_t)(position * c->width + head * c->head_dim);
    for (int32_t p = first; p <= position; p++) {
        score[p] = 0;
        for (int32_t d = 0; d < c->head_dim; d++)
            score[p] += (double)element(c->q[s], c->dtype, at + (size_t)d) * cached(c, false, s, kv, p, d);
        score[p] *= (double)c->scale;
        if (c->cap > 0) score[p] = (double)c->cap * tanh(score[p] / (double)c->cap);
        if (score[p] > high) high = score[p];
    }
    for (int32_t p = first; p <= position; p++) total += score[p] = exp(score[p] - high);
    for (int32_t d = 0; d < c->head_dim; d++) {
        double wanted = 0, magnitude = 0;
        for (int32_t p = first; p <= position; p++) {
            double term = score[p] / total * cached(c, true, s, kv, p, d);
            wanted += term, magnitude += fabs(term);
        }
        double bound = magnitude * (c->dtype == SWIFTLET_BFLOAT16 ? 0x1p-7 : 2e-5) + 1e-6;
        double error = fabs((double)element(c->out[s], c->dtype, at + (size_t)d) - wanted) / bound;
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static void compare_case(const check_level *level, const attention_case *c, uint64_t seed) {
    double rope = 0, attention = 0;
    for (int32_t s = 0; s < SEQUENCES; s++)
        for (int32_t p = 0; p < c->lengths[s]; p += p < 20 || p + 3 > c->lengths[s] ? 1 : 7) {
            double error = rope_error(c, s, p);
            if (!(error <= rope)) rope = error;
            error = attention_error(c, s, p, p % (c->kv_heads * c->group));
            if (!(error <= attention)) attention = error;
        }
    CHECK(rope <= 1, "%s %s: rope, case %d: %g times the bound", level->name, name_of(c->dtype), (int)seed, rope);
    CHECK(attention <= 1, "%s %s: attention, case %d (head %d, group %d, window %d): %g times the bound", level->name,
          name_of(c->dtype), (int)seed, c->head_dim, c->group, c->window, attention);
}

void check_attention(const check_level *level) {
    for (uint64_t seed = 0; seed < 24; seed++) {
        attention_case whole = make_case(seed), parts = make_case(seed);
        int32_t done[SEQUENCES] = {0}, parts_done[SEQUENCES] = {0};
        run_step(level->three, &whole, done, whole.lengths);
        compare_case(level, &whole, seed);
        uint64_t state = seed + 5;
        for (int32_t left = 1; left > 0;) {
            int32_t counts[SEQUENCES];
            left = 0;
            for (int s = 0; s < SEQUENCES; s++) {
                int32_t rest = parts.lengths[s] - parts_done[s], most = random_bits(&state) % 2 ? 1 : 40;
                counts[s] = random_int(&state, 0, rest < most ? rest : most);
                left += rest;
            }
            if (counts[0] + counts[1] > 0) run_step(level->one, &parts, parts_done, counts);
        }
        for (int s = 0; s < SEQUENCES; s++)
            CHECK(memcmp(whole.out[s], parts.out[s],
                         (size_t)whole.lengths[s] * (size_t)whole.width * size_of(whole.dtype)) == 0,
                  "%s %s: attention, case %d: chunks differ", level->name, name_of(whole.dtype), (int)seed);
        free_case(&whole);
        free_case(&parts);
    }
}

// check_logits.c: reductions over logits and sampling against sorting in double precision.
// Owner: Tools/levels/run. Invariant: see check.h.

#include "check.h"

typedef struct {
    const float *logits;
    int32_t count;
    int32_t *order;  // ids, largest first, the lower id first among equals
} ranking;

static const float *sorted_logits;
static int by_rank(const void *a, const void *b) {
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    if (sorted_logits[i] != sorted_logits[j]) return sorted_logits[i] > sorted_logits[j] ? -1 : 1;
    return i < j ? -1 : 1;
}
static ranking rank_logits(const float *logits, int32_t count) {
    ranking r = {logits, count, zeroed((size_t)count * 4)};
    for (int32_t i = 0; i < count; i++) r.order[i] = i;
    sorted_logits = logits;
    qsort(r.order, (size_t)count, 4, by_rank);
    return r;
}

/// Whether `token` may be drawn: its stretch of the cumulative distribution over ids covers the uniform number, give or
/// take rounding. Every cut is by rank here, so tokens at the edge of top_p are excused.
static bool may_draw(const ranking *r, const swiftlet_sample_row *row) {
    double *weight = zeroed((size_t)r->count * 8), total = 0, mass = 0, high = (double)r->logits[r->order[0]];
    int32_t limit = row->top_k > 0 && row->top_k < r->count ? row->top_k : r->count;
    for (int32_t i = 0; i < limit; i++) {
        int32_t id = r->order[i];
        double w = exp(((double)r->logits[id] - high) / (double)row->temperature);
        total += weight[id] = w >= (double)row->min_p ? w : 0;
    }
    for (int32_t i = 0; i < limit; i++) {
        if (row->top_p < 1 && mass >= (double)row->top_p * total * (1 + 1e-5)) weight[r->order[i]] = 0;
        mass += weight[r->order[i]];
    }
    double below = 0, kept = 0;
    for (int32_t i = 0; i < r->count; i++) kept += weight[i];
    for (int32_t i = 0; i < row->token; i++) below += weight[i];
    double low = below / kept - 1e-4, top = (below + weight[row->token]) / kept + 1e-4;
    bool fits = weight[row->token] > 0 && (double)row->uniform >= low && (double)row->uniform <= top;
    free(weight);
    return fits;
}

static void check_sampling(const check_level *level, const ranking *r, uint64_t *state) {
    static const struct { float temperature; int32_t top_k; float top_p, min_p; } params[] = {
        {1, 0, 1, 0},    {0.6f, 0, 1, 0},        {1, 20, 1, 0},    {0.8f, 300, 1, 0},
        {1, 0, 0.9f, 0}, {0.7f, 40, 0.95f, 0}, {1, 0, 1, 0.05f},
    };
    float *scratch = zeroed((size_t)r->count * 4);
    for (size_t i = 0; i < sizeof(params) / sizeof(*params); i++)
        for (int draw = 0; draw < 4; draw++) {
            swiftlet_sample_row row = {.logits = r->logits, .scratch = scratch, .count = r->count,
                                       .temperature = params[i].temperature, .top_k = params[i].top_k,
                                       .top_p = params[i].top_p, .min_p = params[i].min_p,
                                       .uniform = (random_float(state) + 1) / 2};
            swiftlet_sample(level->three, &row, 1);
            CHECK(may_draw(r, &row), "%s: %d logits, parameters %d: token %d", level->name, r->count, (int)i,
                  row.token);
        }
    swiftlet_sample_row greedy = {.logits = r->logits, .scratch = scratch, .count = r->count, .top_p = 1};
    swiftlet_sample(level->one, &greedy, 1);
    CHECK(greedy.token == r->order[0], "%s: greedy gave %d, not %d", level->name, greedy.token, r->order[0]);
    free(scratch);
}

void check_logits(const check_level *level) {
    static const int32_t counts[] = {1, 15, 16, 17, 100, 4097, 30011};
    uint64_t state = 3;
    for (size_t n = 0; n < sizeof(counts) / sizeof(*counts); n++) {
        int32_t count = counts[n], ids[50];
        float *logits = zeroed((size_t)count * 4), values[50];
        for (int32_t i = 0; i < count; i++) logits[i] = roundf(random_float(&state) * 6 * 64) / 64;  // with ties
        ranking r = rank_logits(logits, count);
        CHECK(swiftlet_argmax(level->three, logits, count) == r.order[0], "%s: argmax of %d", level->name, count);
        double sum = 0;
        for (int32_t i = 0; i < count; i++) sum += exp((double)logits[i]);
        float got = swiftlet_log_sum_exp(level->three, logits, count);
        CHECK(fabs((double)got - log(sum)) < 2e-6 * (1 + log(count)), "%s: log sum exp of %d", level->name, count);
        CHECK(got == swiftlet_log_sum_exp(level->one, logits, count), "%s: log sum exp, threads", level->name);
        int32_t greater = 0, k = count < 50 ? count : 50;
        for (int32_t i = 0; i < count; i++) greater += logits[i] > 0.5f;
        CHECK(swiftlet_count_greater(level->three, logits, count, 0.5f) == greater, "%s: greater of %d", level->name,
              count);
        swiftlet_top_logits(level->three, logits, count, k, ids, values);
        CHECK(memcmp(ids, r.order, (size_t)k * 4) == 0, "%s: top %d of %d", level->name, k, count);
        check_sampling(level, &r, &state);
        free(r.order);
        free(logits);
    }
}

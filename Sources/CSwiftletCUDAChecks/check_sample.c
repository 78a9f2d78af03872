// check_sample.c: checks of sampling against a sort. Logits are spread so that no boundary is a matter of rounding, except
// where ties are meant.

#include "check.h"

typedef struct {
    float temperature, top_p, min_p, uniform;
    int top_k;
} params;

static int compare_descending(const void *a, const void *b) {
    const double *x = a, *y = b;
    if (x[0] != y[0]) return x[0] > y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : 1;  // the lower id counts first
}

/// The token, and how close another one is: the least distance of a decision to where it would change, in shares of all.
static int sample(check *c, const float *logits, int count, params p, double *distance) {
    int best = 0;
    *distance = 1;
    float maximum = -INFINITY;
    for (int i = 0; i < count; i++)
        if (logits[i] > maximum) maximum = logits[i], best = i;
    if (!(p.temperature > 0) || !isfinite(maximum)) return best;
    double(*sorted)[2] = malloc(sizeof(double) * 2 * (size_t)count), total = 0, kept = 0;
    double *weights = malloc(sizeof(double) * (size_t)count);
    int valid = 0;
    for (int i = 0; i < count; i++) {
        float x = (logits[i] - maximum) / p.temperature;
        weights[i] = x > -87 && expf(x) >= fminf(p.min_p, 1) ? (double)expf(x) : 0;
        if (logits[i] > -INFINITY) sorted[valid][0] = (double)logits[i], sorted[valid++][1] = i;
    }
    qsort(sorted, (size_t)valid, sizeof *sorted, compare_descending);
    for (int i = p.top_k > 0 && p.top_k < count ? p.top_k : valid; i < valid; i++) weights[(int)sorted[i][1]] = 0;
    for (int i = 0; i < count; i++) total += weights[i];
    for (int i = 0; i < valid && p.top_p < 1; i++) {
        double *weight = &weights[(int)sorted[i][1]], share = (double)p.top_p * total;
        if (kept >= share && i > 0) *weight = 0;
        kept += *weight;
        if (fabs(kept - share) < *distance * total) *distance = fabs(kept - share) / total;
    }
    total = kept = 0;
    for (int i = 0; i < count; i++) total += weights[i];
    int token = -1;
    for (int i = 0; i < count; i++) {
        if (token < 0 && weights[i] > 0 && kept + weights[i] > (double)p.uniform * total) token = i;
        kept += weights[i];
        if (fabs(kept / total - (double)p.uniform) < *distance && i + 1 < count)
            *distance = fabs(kept / total - (double)p.uniform);
    }
    free(sorted);
    free(weights);
    (void)c;
    return token;
}

enum { ROWS = 12 };

static void check_rows(check *c, int vocabulary, int kind) {
    float *logits = random_floats(c, (size_t)(ROWS * vocabulary));
    float temperature[ROWS], top_p[ROWS], min_p[ROWS], uniform[ROWS];
    int top_k[ROWS], want[ROWS], got[ROWS];
    double distance[ROWS];
    for (int r = 0; r < ROWS; r++) {
        float *row = logits + r * vocabulary;
        for (int i = 0; i < vocabulary; i++) row[i] *= kind == 1 ? 40 : 6;
        for (int i = 0; i < vocabulary && kind == 2; i++) row[i] = floorf(row[i]);  // many ties
        if (kind == 3)
            for (int i = 0; i < vocabulary; i++)
                if (i % 3 != 0) row[i] = i % 5 == 0 ? NAN : -INFINITY;
        params p = {
            .temperature = r == 0 ? 0 : 0.3f + 0.2f * (float)r, .top_p = r % 3 == 1 ? 0.2f + 0.06f * (float)r : 1,
            .min_p = r % 4 == 2 ? 0.1f : 0, .top_k = r % 2 == 1 ? 1 + r * r * r : 0,
            .uniform = (random_float(c) + 1) / 2,
        };
        if (r == 4) p.uniform = 0;
        if (r == 6) p.top_k = vocabulary;
        if (r == 10) p.top_p = 0;
        temperature[r] = p.temperature, top_p[r] = p.top_p, min_p[r] = p.min_p, top_k[r] = p.top_k;
        uniform[r] = p.uniform;
        want[r] = sample(c, row, vocabulary, p, &distance[r]);
        if (r == 4 || r == 10) distance[r] = 1;
    }
    uint64_t in = device_floats(c, logits, (size_t)(ROWS * vocabulary)), scratch, tokens;
    uint64_t t = device_floats(c, temperature, ROWS), k = device_memory(c, top_k, sizeof top_k);
    uint64_t p = device_floats(c, top_p, ROWS), m = device_floats(c, min_p, ROWS), u = device_floats(c, uniform, ROWS);
    scratch = device_memory(c, NULL, (size_t)(4 * ROWS * vocabulary));
    tokens = device_memory(c, NULL, sizeof got);
    grid g = {ROWS, 1, 1};
    RUN(c, "sample_rows", g, 1024, &in, &vocabulary, &t, &k, &p, &m, &u, &scratch, &tokens);
    copy_from_device(c, got, tokens, sizeof got);
    for (int r = 0; r < ROWS && c->status == 0; r++) {
        c->compared++;
        if (got[r] != want[r] && (distance[r] > 1e-5 || got[r] < 0 || got[r] >= vocabulary))
            fail_check(c, "sample_rows: row %d of %d logits (kind %d) chose %d and not %d", r, vocabulary, kind, got[r], want[r]);
    }
    end_case(c);
}

/// A row without anything finite.
static void check_hopeless(check *c) {
    float logits[3][5] = {{NAN, NAN, NAN, NAN, NAN}, {NAN, -INFINITY, -INFINITY, NAN, NAN}, {1, INFINITY, NAN, INFINITY, 0}};
    float ones[] = {1, 1, 1}, half[] = {0.5f, 0.5f, 0.5f}, zeros[] = {0, 0, 0};
    int none[] = {0, 0, 0}, want[] = {0, 1, 1}, got[3], vocabulary = 5;
    uint64_t in = device_memory(c, logits, sizeof logits), t = device_floats(c, ones, 3), k = device_memory(c, none, 12);
    uint64_t p = device_floats(c, half, 3), m = device_floats(c, zeros, 3), scratch = device_memory(c, NULL, sizeof logits);
    uint64_t tokens = device_memory(c, NULL, sizeof got);
    grid g = {3, 1, 1};
    RUN(c, "sample_rows", g, 1024, &in, &vocabulary, &t, &k, &p, &m, &p, &scratch, &tokens);
    copy_from_device(c, got, tokens, sizeof got);
    compare_integers(c, "sample_rows without finite logits", got, want, 3);
    end_case(c);
}

void check_sample(check *c) {
    static const int vocabularies[] = {1, 31, 600, 1025, 9000, 33000};
    for (int i = 0; i < (c->size == 0 ? 5 : 6); i++)
        for (int kind = 0; kind < (i == 0 ? 1 : i == 4 ? 2 : 4); kind++) check_rows(c, vocabularies[i], kind);
    check_hopeless(c);
}

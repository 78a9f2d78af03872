// check_experts.c: checks of a mixture of experts, each step on its own and all of them together.
//
// Invariant: logits are apart enough that the choice of experts is no matter of rounding, except where ties are meant.

#include "check.h"

typedef struct {
    int rows, hidden, intermediate, experts, per_row;
    bool renormalizes, adds, is_gelu;
} mixture;

/// chosen [rows, per_row], ascending, and their weights; -1 for rows that are no one's.
static void route(const mixture *m, const float *logits, const int *sequences, int *chosen, float *weights) {
    for (int r = 0; r < m->rows; r++) {
        const float *own = logits + r * m->experts;
        int *picked = chosen + r * m->per_row;
        double total = 0, part = 0;
        if (sequences[r] < 0) {
            for (int i = 0; i < m->per_row; i++) picked[i] = -1;
            continue;
        }
        float maximum = -INFINITY;
        for (int e = 0, count = 0; e < m->experts; e++) {
            int larger = 0;  // experts that come before this one
            for (int o = 0; o < m->experts; o++) larger += own[o] > own[e] || (own[o] == own[e] && o < e);
            if (larger < m->per_row) picked[count++] = e;
            maximum = fmaxf(maximum, own[e]);
        }
        for (int e = 0; e < m->experts; e++) total += exp((double)own[e] - (double)maximum);
        for (int i = 0; i < m->per_row; i++) part += exp((double)own[picked[i]] - (double)maximum);
        for (int i = 0; i < m->per_row; i++)
            weights[r * m->per_row + i] =
                (float)(exp((double)own[picked[i]] - (double)maximum) / (m->renormalizes ? part : total));
    }
}

static double activation(const mixture *m, double x) {
    return m->is_gelu ? 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) : x / (1 + exp(-x));
}

/// out [hidden] = what an expert makes of a row, before its weight; the activations are rounded as they are stored.
static void run_expert(const check *c, const mixture *m, const float *x, const float *gate_up, const float *down,
                       double *out) {
    float activated[256];
    for (int i = 0; i < m->intermediate; i++) {
        double gate = 0, up = 0;
        for (int k = 0; k < m->hidden; k++) {
            gate += (double)x[k] * (double)gate_up[i * m->hidden + k];
            up += (double)x[k] * (double)gate_up[(i + m->intermediate) * m->hidden + k];
        }
        activated[i] = as_element(c, (float)(activation(m, gate) * up));
    }
    for (int o = 0; o < m->hidden; o++) {
        out[o] = 0;
        for (int i = 0; i < m->intermediate; i++) out[o] += (double)activated[i] * (double)down[o * m->intermediate + i];
    }
}

/// The device's copies of all experts' matrices of one kind, behind each other, and a table of where each begins.
static uint64_t make_matrices(check *c, const mixture *m, float *values, int rows, int columns) {
    size_t each = (size_t)(rows * columns), bytes = (each * element_size(c) + 255) / 256 * 256;
    uint64_t *table = host_memory(c, 8 * (size_t)m->experts);
    size_t padded = bytes / element_size(c);
    float *spread = host_memory(c, 4 * padded * (size_t)m->experts);
    for (int e = 0; e < m->experts; e++) memcpy(spread + (size_t)e * padded, values + (size_t)e * each, 4 * each);
    uint64_t first = device_elements(c, spread, padded * (size_t)m->experts);
    for (int e = 0; e < m->experts; e++) {
        table[e] = first + (uint64_t)e * bytes;
        memcpy(values + (size_t)e * each, spread + (size_t)e * padded, 4 * each);
    }
    return device_memory(c, table, 8 * (size_t)m->experts);
}

static void check_routes(check *c, const mixture *m, const float *logits, const int *sequences, int *chosen, float *weights,
                         uint64_t *routed, uint64_t *shares) {
    size_t count = (size_t)(m->rows * m->per_row);
    mixture copy = *m;
    int renormalizes = m->renormalizes;
    uint64_t in = device_floats(c, logits, (size_t)(m->rows * m->experts));
    uint64_t numbers = device_memory(c, sequences, 4 * (size_t)m->rows);
    *routed = device_memory(c, NULL, 4 * count);
    *shares = device_memory(c, NULL, 4 * count);
    grid g = {(unsigned)(m->rows + 7) / 8, 1, 1};
    RUN(c, "route_experts", g, 256, &in, &numbers, &copy.rows, &copy.experts, &copy.per_row, &renormalizes, routed, shares);
    route(m, logits, sequences, chosen, weights);
    int *got = host_memory(c, 4 * count);
    copy_from_device(c, got, *routed, 4 * count);
    compare_integers(c, "route_experts", got, chosen, count);
    compare(c, "weights of experts", floats_of(c, *shares, count), weights, count, 1e-7, 1e-5);
}

/// Every slot belongs to one row and expert, and the experts' slots follow each other.
static void check_slots(check *c, const mixture *m, const int *chosen, const int *starts, const int *places,
                        const int *sorted) {
    int count = m->rows * m->per_row, slots = 0;
    for (int e = 0; e < m->experts && c->status == 0; e++) {
        if (starts[e] != slots) fail_check(c, "sort_experts: expert %d starts at %d and not %d", e, starts[e], slots);
        for (int i = 0; i < count; i++) slots += chosen[i] == e;
    }
    if (starts[m->experts] != slots) fail_check(c, "sort_experts: %d slots and not %d", starts[m->experts], slots);
    for (int i = 0; i < count && c->status == 0; i++) {
        int e = chosen[i], place = places[i];
        bool is_right = e < 0 ? place == -1 : place >= starts[e] && place < starts[e + 1] && sorted[place] == i;
        if (!is_right) fail_check(c, "sort_experts: number %d of expert %d is in slot %d", i, e, place);
    }
}

static void check_mixture(check *c, mixture m) {
    size_t gate_up_size = (size_t)(2 * m.intermediate * m.hidden), down_size = (size_t)(m.hidden * m.intermediate);
    float *x = random_floats(c, (size_t)(m.rows * m.hidden)), *logits = random_floats(c, (size_t)(m.rows * m.experts));
    float *gate_up = random_floats(c, gate_up_size * (size_t)m.experts), scale = 2 / sqrtf((float)m.hidden);
    float *down = random_floats(c, down_size * (size_t)m.experts);
    for (size_t i = 0; i < gate_up_size * (size_t)m.experts; i++) gate_up[i] *= scale;
    for (int i = 0; i < m.rows * m.experts; i++) logits[i] = floorf(logits[i] * 20) / 4;  // some are equal
    size_t count = (size_t)(m.rows * m.per_row), values = (size_t)(m.rows * m.hidden);
    int *chosen = host_memory(c, 4 * count), *sequences = host_memory(c, 4 * (size_t)m.rows);
    for (int r = 0; r < m.rows; r++) sequences[r] = r % 7 == 5 ? -1 : r;
    float *weights = host_memory(c, 4 * count), *want = random_floats(c, values);
    uint64_t input = device_elements(c, x, values), out = device_floats(c, want, values), routed, shares;
    uint64_t gate_ups = make_matrices(c, &m, gate_up, 2 * m.intermediate, m.hidden);
    uint64_t downs = make_matrices(c, &m, down, m.hidden, m.intermediate);
    check_routes(c, &m, logits, sequences, chosen, weights, &routed, &shares);

    int slots = (int)count, epilogue = m.is_gelu ? 5 : 4, adds = m.adds;
    uint64_t starts = device_memory(c, NULL, 4 * (size_t)(m.experts + 1)), places = device_memory(c, NULL, 4 * count);
    uint64_t sorted = device_memory(c, NULL, 4 * count);
    grid one = {1, 1, 1}, rows = {(unsigned)m.rows, 1, 1};
    RUN(c, "sort_experts", one, 1024, &routed, &slots, &m.experts, &starts, &places, &sorted);
    int *numbers = host_memory(c, 4 * ((size_t)m.experts + 1 + 2 * count));
    copy_from_device(c, numbers, starts, 4 * (size_t)(m.experts + 1));
    copy_from_device(c, numbers + m.experts + 1, places, 4 * count);
    copy_from_device(c, numbers + m.experts + 1 + count, sorted, 4 * count);
    if (c->status == 0) check_slots(c, &m, chosen, numbers, numbers + m.experts + 1, numbers + m.experts + 1 + count);

    uint64_t activated = device_memory(c, NULL, count * (size_t)m.intermediate * element_size(c));
    uint64_t partials = device_memory(c, NULL, count * (size_t)m.hidden * 4);
    unsigned tiles = (unsigned)(slots / 64 + m.experts);
    grid up = {(unsigned)(m.intermediate + 31) / 32, tiles, 1}, all = {(unsigned)(m.hidden + 63) / 64, tiles, 1};
    RUN(c, "experts_gate_up", up, 128, &input, &starts, &sorted, &m.per_row, &m.experts, &m.hidden, &m.intermediate,
        &gate_ups, &epilogue, &activated);
    RUN(c, "experts_down", all, 128, &activated, &starts, &m.experts, &m.intermediate, &m.hidden, &downs, &partials);
    RUN(c, "combine_experts", rows, 256, &partials, &places, &shares, &m.per_row, &m.hidden, &adds, &out);
    for (int r = 0; r < m.rows; r++)
        for (int i = 0; i < m.per_row && sequences[r] >= 0; i++) {
            double partial[256];
            int e = chosen[r * m.per_row + i];
            run_expert(c, &m, x + r * m.hidden, gate_up + (size_t)e * gate_up_size, down + (size_t)e * down_size, partial);
            for (int o = 0; o < m.hidden; o++) {
                float *to = want + r * m.hidden + o, before = i == 0 && !m.adds ? 0 : *to;
                *to = (float)((double)before + (double)weights[r * m.per_row + i] * partial[o]);
            }
        }
    double absolute = c->shapes->compute_float ? 1e-5 : 3e-4;  // an activation may round the other way
    compare(c, "mixture of experts", floats_of(c, out, values), want, values, absolute, c->shapes->compute_float ? 1e-4 : 4e-3);
    end_case(c);
}

/// A NaN among the logits shows in all weights, and the others are chosen first.
static void check_broken_logits(check *c) {
    float logits[] = {1, NAN, 3, 2, -INFINITY, 0}, want[] = {NAN, NAN, NAN};
    int sequences[] = {0}, rows = 1, experts = 6, per_row = 3, renormalizes = 1, chosen[] = {0, 2, 3}, got[3];
    uint64_t in = device_memory(c, logits, sizeof logits), numbers = device_memory(c, sequences, sizeof sequences);
    uint64_t routed = device_memory(c, NULL, 12), shares = device_memory(c, NULL, 12);
    grid g = {1, 1, 1};
    RUN(c, "route_experts", g, 256, &in, &numbers, &rows, &experts, &per_row, &renormalizes, &routed, &shares);
    copy_from_device(c, got, routed, sizeof got);
    compare_integers(c, "experts beside NaN", got, chosen, 3);
    compare(c, "weights beside NaN", floats_of(c, shares, 3), want, 3, 0, 0);
    end_case(c);
}

void check_experts(check *c) {
    static const mixture cases[] = {
        {1, 64, 48, 8, 2, true, false, false},  {37, 64, 48, 8, 2, true, true, false},
        {150, 40, 33, 3, 2, false, true, true}, {200, 104, 72, 2, 1, false, false, false},
        {9, 136, 100, 40, 8, true, true, false}, {5, 20, 12, 60, 6, true, false, true},
        {70, 200, 136, 2, 1, true, true, false},
    };
    for (int i = 0; i < 7; i++) check_mixture(c, cases[i]);
    check_broken_logits(c);
}

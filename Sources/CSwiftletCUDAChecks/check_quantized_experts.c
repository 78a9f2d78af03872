// check_quantized_experts.c: checks of the products of experts whose weights have four or eight bits.
//
// Invariant: slots are sorted by expert, as sort_experts leaves them; which rows they are is no matter here.

#include "check_quantized.h"

typedef struct {
    quantized gate_up, down;  // formats
    int slots, rows, per_row, experts, hidden, intermediate;
} mixture;

/// starts [experts + 1]: most slots are the second expert's, some experts have none.
static int *make_starts(check *c, const mixture *m) {
    int *starts = host_memory(c, 4 * (size_t)(m->experts + 1));
    for (int e = 1; e <= m->experts; e++) {
        int left = m->slots - starts[e - 1];
        starts[e] = starts[e - 1] + (e == m->experts ? left : e == 2 ? left / 3 * 2 : e % 3 == 0 ? 0 : random_below(c, left / 2 + 1));
    }
    return starts;
}

/// The matrices of all experts, and the device's table of them.
static uint64_t make_matrices(check *c, const mixture *m, quantized shape, int rows, int columns, quantized **all) {
    uint64_t *table = host_memory(c, 8 * (size_t)m->experts);
    shape.rows = rows, shape.columns = columns;
    for (int e = 0; e < m->experts; e++) {
        all[e] = make_quantized(c, shape);
        table[e] = device_quantized(c, all[e]);
    }
    return device_memory(c, table, 8 * (size_t)m->experts);
}

static double dot(const quantized *q, int row, const float *x) {
    double sum = 0;
    for (int k = 0; k < q->columns; k++) sum += (double)x[k] * (double)q->values[row * q->columns + k];
    return sum;
}

static void check_mixture(check *c, mixture m) {
    quantized *gate_up[8], *down[8];
    int *starts = make_starts(c, &m), *sorted = host_memory(c, 4 * (size_t)m.slots), epilogue = 4;
    for (int s = 0; s < m.slots; s++) sorted[s] = random_below(c, m.rows * m.per_row);
    uint64_t ups = make_matrices(c, &m, m.gate_up, 2 * m.intermediate, m.hidden, gate_up);
    uint64_t downs = make_matrices(c, &m, m.down, m.hidden, m.intermediate, down);
    float *x = random_floats(c, (size_t)(m.rows * m.hidden));
    size_t activations = (size_t)(m.slots * m.intermediate), outputs = (size_t)(m.slots * m.hidden);
    uint64_t input = device_elements(c, x, (size_t)(m.rows * m.hidden));
    uint64_t begins = device_memory(c, starts, 4 * (size_t)(m.experts + 1)), order = device_memory(c, sorted, 4 * (size_t)m.slots);
    uint64_t activated = device_memory(c, NULL, activations * element_size(c)), out = device_memory(c, NULL, 4 * outputs);
    unsigned tiles = (unsigned)(m.slots / 64 + m.experts);
    grid up = {(unsigned)(m.intermediate + 31) / 32, tiles, 1}, all = {(unsigned)(m.hidden + 63) / 64, tiles, 1};
    char name[40];
    snprintf(name, sizeof name, "experts_gate_up_%s", format_name(m.gate_up.format));
    RUN(c, name, up, 256, &input, &begins, &order, &m.per_row, &m.experts, &m.hidden, &m.intermediate, &ups, &epilogue,
        &gate_up[0]->layout, &activated);
    float *got = elements_of(c, activated, activations), *want = host_memory(c, 4 * activations);
    for (int e = 0; e < m.experts; e++)
        for (int s = starts[e]; s < starts[e + 1]; s++)
            for (int i = 0; i < m.intermediate; i++) {
                const float *in = x + sorted[s] / m.per_row * m.hidden;
                double gate = dot(gate_up[e], i, in), y = gate / (1 + exp(-gate)) * dot(gate_up[e], i + m.intermediate, in);
                want[s * m.intermediate + i] = (float)y;
            }
    compare(c, name, got, want, activations, 2e-5, c->shapes->compute_float ? 1e-5 : 1.0 / 250);
    snprintf(name, sizeof name, "experts_down_%s", format_name(m.down.format));
    RUN(c, name, all, 256, &activated, &begins, &m.experts, &m.intermediate, &m.hidden, &downs, &down[0]->layout, &out);
    float *sums = host_memory(c, 4 * outputs);
    for (int e = 0; e < m.experts; e++)
        for (int s = starts[e]; s < starts[e + 1]; s++)
            for (int o = 0; o < m.hidden; o++) sums[s * m.hidden + o] = (float)dot(down[e], o, got + s * m.intermediate);
    compare(c, name, floats_of(c, out, outputs), sums, outputs, 2e-5, 1e-5);
    end_case(c);
}

void check_quantized_experts(check *c) {
    quantized int4 = {.format = INT4, .group = 64}, zeros = {.format = INT4, .group = 32, .has_zeros = true};
    quantized int8 = {.format = INT8}, fp8 = {.format = FP8, .group = 128};
    check_mixture(c, (mixture){int4, zeros, 150, 40, 3, 5, 128, 40});
    check_mixture(c, (mixture){int8, int4, 5, 5, 1, 4, 72, 64});
    check_mixture(c, (mixture){fp8, int8, 70, 9, 2, 3, 256, 48});
    check_mixture(c, (mixture){zeros, fp8, 33, 30, 2, 8, 96, 136});
}

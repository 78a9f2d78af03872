// logits.c: shares out reductions over logits and merges their blocks; logits.inc.h computes them.
// Owner: the CPU backend. Invariant: blocks depend on the row's length alone and are merged in ascending order.

#include <math.h>

#include "kernels.h"

enum { MAXIMUM_BLOCKS = 64, MINIMUM_BLOCK = 4096 };

// Cuts a row into blocks; returns how many.
static int32_t cut(logits_work *work) {
    int32_t block = swiftlet_ceil_div(work->count, MAXIMUM_BLOCKS);
    work->block = block < MINIMUM_BLOCK ? MINIMUM_BLOCK : swiftlet_ceil_div(block, 16) * 16;
    return swiftlet_ceil_div(work->count, work->block);
}

int32_t swiftlet_argmax(swiftlet_cpu *cpu, const float *logits, int32_t count) {
    logits_partial partials[MAXIMUM_BLOCKS];
    logits_work work = {.logits = logits, .count = count, .partials = partials};
    int32_t blocks = cut(&work), best = -1;
    swiftlet_parallel_for(cpu, blocks, cpu->kernels->logits_maximum, &work);
    for (int32_t i = 0; i < blocks; i++)
        if (partials[i].index >= 0 && (best < 0 || partials[i].maximum > logits[best])) best = partials[i].index;
    return best < 0 ? 0 : best;
}

float swiftlet_log_sum_exp(swiftlet_cpu *cpu, const float *logits, int32_t count) {
    logits_partial partials[MAXIMUM_BLOCKS];
    logits_work work = {.logits = logits, .count = count, .partials = partials};
    int32_t blocks = cut(&work);
    swiftlet_parallel_for(cpu, blocks, cpu->kernels->logits_sum, &work);
    float maximum = -INFINITY;
    for (int32_t i = 0; i < blocks; i++)
        if (partials[i].maximum > maximum) maximum = partials[i].maximum;
    if (!isfinite(maximum)) return maximum;
    double sum = 0;
    for (int32_t i = 0; i < blocks; i++) sum += partials[i].sum * exp((double)partials[i].maximum - (double)maximum);
    return (float)((double)maximum + log(sum));
}

int32_t swiftlet_count_greater(swiftlet_cpu *cpu, const float *logits, int32_t count, float value) {
    logits_partial partials[MAXIMUM_BLOCKS];
    logits_work work = {.logits = logits, .count = count, .partials = partials, .value = value};
    int32_t blocks = cut(&work), total = 0;
    swiftlet_parallel_for(cpu, blocks, cpu->kernels->logits_greater, &work);
    for (int32_t i = 0; i < blocks; i++) total += partials[i].index;
    return total;
}

void swiftlet_top_logits(swiftlet_cpu *cpu, const float *logits, int32_t count, int32_t k, int32_t *ids,
                         float *values) {
    int32_t found = k < count ? k : count;
    for (int32_t i = found > 0 ? found : 0; i < k; i++) {
        ids[i] = -1;
        values[i] = -INFINITY;
    }
    if (found <= 0) return;
    top_logits_work work = {.logits = logits, .count = count, .k = found, .ids = ids, .values = values};
    swiftlet_parallel_for(cpu, 1, cpu->kernels->top_logits, &work);
}

void swiftlet_sample(swiftlet_cpu *cpu, swiftlet_sample_row *rows, int32_t count) {
    sample_work work = {.cpu = cpu, .rows = rows};
    swiftlet_parallel_for(cpu, count, cpu->kernels->sample, &work);
}

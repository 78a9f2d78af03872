// probe.c: how fast this machine reads memory and multiplies, as the limits that the engine is measured against.
// Owner: the CPU backend. Run between measurements, never in a step.
// Invariant: a probe uses the pool and the level that the operations use, and hands its items out as they do.

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "probe.h"

#include <time.h>

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double swiftlet_probe_read(swiftlet_cpu *cpu, const void *memory, size_t bytes, int32_t passes) {
    probe_read_work work = {.cpu = cpu, .memory = memory, .chunks = (int32_t)(bytes / PROBE_CHUNK_BYTES)};
    if (work.chunks < 1 || passes < 1 || work.chunks > INT32_MAX / passes) return 0;
    double start = now_seconds();
    swiftlet_parallel_for(cpu, work.chunks * passes, cpu->kernels->probe_read, &work);
    double seconds = now_seconds() - start;
    return (double)work.chunks * PROBE_CHUNK_BYTES * passes / seconds;
}

bool swiftlet_multiplies_integers(const swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format) {
    return cpu->kernels->quantize_rows[format][dtype] != NULL;
}

// Of what weights of a format are multiplied as: integers, or the dtype.
static const swiftlet_multiply_probe *probe_of(const swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format) {
    const swiftlet_kernel_table *kernels = cpu->kernels;
    if (!swiftlet_multiplies_integers(cpu, dtype, format)) return &kernels->probe_multiply[dtype];
    return format == SWIFTLET_WEIGHTS_INT8 ? &kernels->probe_multiply_int8 : &kernels->probe_multiply_int16;
}

double swiftlet_probe_multiply(swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format) {
    const swiftlet_multiply_probe *probe = probe_of(cpu, dtype, format);
    probe_multiply_work work = {.cpu = cpu};
    int32_t items = cpu->threads * PROBE_ITEMS_PER_THREAD;
    double start = now_seconds();
    swiftlet_parallel_for(cpu, items, probe->task, &work);
    double seconds = now_seconds() - start;
    return (double)items * PROBE_ROUNDS * probe->operations_per_round / seconds;
}

const char *swiftlet_probe_instruction(const swiftlet_cpu *cpu, swiftlet_dtype dtype, swiftlet_weights format) {
    return probe_of(cpu, dtype, format)->instruction;
}

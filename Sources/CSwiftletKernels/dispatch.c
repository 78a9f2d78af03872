// dispatch.c: which instruction-set levels this machine runs, and the swiftlet_cpu that carries one of them.
// Owner: the CPU backend. Invariant: a level is offered only when both the CPU and the operating system (its saved
// register state) support every feature that level_*.c is compiled for.

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#ifndef HWCAP2_BF16
#define HWCAP2_BF16 (1 << 14)
#endif
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "kernels.h"

static const swiftlet_kernel_table *table_of(swiftlet_level level) {
    switch (level) {
        case SWIFTLET_LEVEL_PORTABLE: return &swiftlet_kernels_portable;
#if defined(__x86_64__)
        case SWIFTLET_LEVEL_AVX2: return &swiftlet_kernels_avx2;
        case SWIFTLET_LEVEL_AVX2VNNI: return &swiftlet_kernels_avx2vnni;
        case SWIFTLET_LEVEL_AVX512: return &swiftlet_kernels_avx512;
        case SWIFTLET_LEVEL_AVX512VNNI: return &swiftlet_kernels_avx512vnni;
        case SWIFTLET_LEVEL_AVX512BF16: return &swiftlet_kernels_avx512bf16;
#elif defined(__aarch64__)
        case SWIFTLET_LEVEL_NEON: return &swiftlet_kernels_neon;
        case SWIFTLET_LEVEL_NEONDOT: return &swiftlet_kernels_neondot;
        case SWIFTLET_LEVEL_NEONBF16: return &swiftlet_kernels_neonbf16;
#endif
        default: return NULL;
    }
}

#if defined(__aarch64__)
// Whether the processor has dot products of int8 and of bfloat16, and the system says so. (Their registers are NEON's.)
#if defined(__APPLE__)
static bool has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof(value);
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value != 0;
}
static bool has_neon_dot(void) { return has_feature("hw.optional.arm.FEAT_DotProd"); }
static bool has_neon_bf16(void) { return has_feature("hw.optional.arm.FEAT_BF16"); }
#elif defined(__linux__)
static bool has_neon_dot(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
static bool has_neon_bf16(void) { return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0; }
#else
static bool has_neon_dot(void) { return false; }
static bool has_neon_bf16(void) { return false; }
#endif
#endif

bool swiftlet_level_supported(swiftlet_level level) {
    if (level == SWIFTLET_LEVEL_PORTABLE) return true;
#if defined(__x86_64__)
    // These check the operating system's part (OSXSAVE and XCR0) too.
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (level == SWIFTLET_LEVEL_AVX2) return avx2;
    bool avx512vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    if (level == SWIFTLET_LEVEL_AVX2VNNI) return avx2 && __builtin_cpu_supports("avxvnni");
    if (level == SWIFTLET_LEVEL_AVX512) return avx512;
    if (level == SWIFTLET_LEVEL_AVX512VNNI) return avx512vnni;
    if (level == SWIFTLET_LEVEL_AVX512BF16) return avx512vnni && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
    if (level == SWIFTLET_LEVEL_NEON) return true;  // part of the architecture
    if (level == SWIFTLET_LEVEL_NEONDOT) return has_neon_dot();
    if (level == SWIFTLET_LEVEL_NEONBF16) return has_neon_dot() && has_neon_bf16();
#endif
    return false;
}

const char *swiftlet_level_name(swiftlet_level level) {
    switch (level) {
        case SWIFTLET_LEVEL_PORTABLE: return "portable";
        case SWIFTLET_LEVEL_AVX2: return "avx2";
        case SWIFTLET_LEVEL_AVX2VNNI: return "avx2vnni";
        case SWIFTLET_LEVEL_AVX512: return "avx512";
        case SWIFTLET_LEVEL_AVX512VNNI: return "avx512vnni";
        case SWIFTLET_LEVEL_AVX512BF16: return "avx512bf16";
        case SWIFTLET_LEVEL_NEON: return "neon";
        case SWIFTLET_LEVEL_NEONDOT: return "neondot";
        case SWIFTLET_LEVEL_NEONBF16: return "neonbf16";
    }
    return "unknown";
}

swiftlet_cpu *swiftlet_cpu_create(swiftlet_level level, int32_t threads, const swiftlet_place *places) {
    if (!swiftlet_level_supported(level) || table_of(level) == NULL || threads < 1) return NULL;
    swiftlet_cpu *cpu = malloc(sizeof(*cpu));
    if (cpu == NULL) return NULL;
    *cpu = (swiftlet_cpu){.level = level, .threads = threads, .kernels = table_of(level)};
    cpu->scratch = swiftlet_allocate((size_t)threads * SWIFTLET_SCRATCH_BYTES);
    cpu->quantized = swiftlet_allocate(SWIFTLET_ROWS_BYTES);
    cpu->ordered = swiftlet_allocate(SWIFTLET_ROWS_BYTES);
    bool has_memory = cpu->scratch != NULL && cpu->quantized != NULL && cpu->ordered != NULL;
    if (has_memory) cpu->pool = swiftlet_pool_create(threads, places);
    if (cpu->pool == NULL) {
        swiftlet_cpu_destroy(cpu);
        return NULL;
    }
    return cpu;
}

void swiftlet_cpu_destroy(swiftlet_cpu *cpu) {
    if (cpu == NULL) return;
    swiftlet_pool_destroy(cpu->pool);
    swiftlet_release(cpu->scratch, (size_t)cpu->threads * SWIFTLET_SCRATCH_BYTES);
    swiftlet_release(cpu->quantized, SWIFTLET_ROWS_BYTES);
    swiftlet_release(cpu->ordered, SWIFTLET_ROWS_BYTES);
    free(cpu);
}

void swiftlet_cpu_park(swiftlet_cpu *cpu) { swiftlet_pool_park(cpu->pool); }

void swiftlet_parallel_for(swiftlet_cpu *cpu, int32_t items, swiftlet_task task, void *context) {
    swiftlet_parallel_rounds(cpu, items, 1, task, context);
}

void swiftlet_parallel_rounds(swiftlet_cpu *cpu, int32_t period, int32_t rounds, swiftlet_task task, void *context) {
    if (period <= 0 || rounds <= 0) return;
    swiftlet_shares shares = swiftlet_pool_split(cpu->pool, period, rounds);
    swiftlet_pool_run(cpu->pool, &shares, task, context);
}

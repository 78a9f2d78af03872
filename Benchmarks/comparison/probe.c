// What this machine can do right now: memory bandwidth and peak rates of the instructions that engines use.
// compare.py compiles it (cc -O3 -march=native -pthread) and runs it between measurements.
// Usage: probe THREADS CPU... ; prints one JSON object. Thread i is pinned to the i-th CPU named.
// Invariant: rates are of all threads together, started at one barrier; a rate the CPU has no instruction for is 0.

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { lanes = 16 };
#else
enum { lanes = 8 };
#endif
typedef uint64_t words __attribute__((vector_size(64)));
typedef float floats __attribute__((vector_size(4 * lanes)));

enum { chains = 16, rounds = 1500000, passes = 5, most = 1024 };
static const size_t bytes = 512u << 20;

static pthread_barrier_t barrier;
static char *memory;
static int threads, cpus[most];
static volatile uint64_t sink;

typedef double job(int thread);  // operations or bytes done

static double read_memory(int thread) {
    size_t share = bytes / (size_t)threads / 512 * 512;
    const words *from = (const words *)(memory + share * (size_t)thread);
    words sums[8] = {0};
    for (size_t i = 0; i < share / 64; i += 8)
        for (int j = 0; j < 8; j++) sums[j] += from[i + (size_t)j];
    for (int j = 1; j < 8; j++) sums[0] += sums[j];
    sink += sums[0][0];
    return (double)share;
}

static double float_peak(int thread) {
    floats sums[12] = {{0}}, a = {0}, b = {0};  // 12: they fit in AVX2's registers too
    for (int lane = 0; lane < lanes; lane++) a[lane] = 1e-3f * (float)(lane + thread), b[lane] = 1e-3f;
    for (int i = 0; i < rounds; i++) {
        for (int j = 0; j < 12; j++) sums[j] = a * b + sums[j];
#if defined(__x86_64__)
        __asm__ volatile("" : "+v"(a));  // the product can't leave the loop
#else
        __asm__ volatile("" : "+w"(a));
#endif
    }
    for (int j = 1; j < 12; j++) sums[0] += sums[j];
    sink += (uint64_t)sums[0][0];
    return 2.0 * lanes * 12 * rounds;
}

static double bf16_peak(int thread) {
#ifdef __AVX512BF16__
    __m512 sums[chains];
    for (int j = 0; j < chains; j++) sums[j] = _mm512_setzero_ps();
    __m512bh a = (__m512bh)_mm512_set1_epi16((short)(0x3c00 + thread)), b = (__m512bh)_mm512_set1_epi16(0x3c00);
    for (int i = 0; i < rounds; i++)
        for (int j = 0; j < chains; j++) sums[j] = _mm512_dpbf16_ps(sums[j], a, b);
    for (int j = 1; j < chains; j++) sums[0] = _mm512_add_ps(sums[0], sums[j]);
    sink += (uint64_t)_mm512_reduce_add_ps(sums[0]);
    return 4.0 * 16 * chains * rounds;
#else
    (void)thread;
    return 0;
#endif
}

static double int8_peak(int thread) {
#ifdef __AVX512VNNI__
    __m512i a = _mm512_set1_epi8((char)(1 + thread)), b = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
    __m512i s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero, s8 = zero, s9 = zero;
// By name and in assembly: gcc copies every sum of an array, which halves the rate.
#define ADD(sum) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))
    for (int i = 0; i < rounds; i++) {
        ADD(s0); ADD(s1); ADD(s2); ADD(s3); ADD(s4); ADD(s5); ADD(s6); ADD(s7); ADD(s8); ADD(s9);
    }
    return 8.0 * 16 * 10 * rounds;
#elif defined(__AVX2__)
    // Sixteen-bit products, two to a sum: eight-bit ones of pairs can be too large for the instruction that adds them.
    __m256i a = _mm256_set1_epi16((short)(1 + thread)), b = _mm256_set1_epi16(1), zero = _mm256_setzero_si256();
    __m256i s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero;
#define ADD(sum)                                                                                        \
    do {                                                                                                \
        __m256i product;                                                                                \
        __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(a), "x"(b)); \
    } while (0)
    for (int i = 0; i < rounds; i++) {
        ADD(s0); ADD(s1); ADD(s2); ADD(s3); ADD(s4); ADD(s5); ADD(s6); ADD(s7);
    }
    return 4.0 * 8 * 8 * rounds;
#else
    (void)thread;
    return 0;
#endif
}

static job *const jobs[] = {read_memory, float_peak, bf16_peak, int8_peak};
static const char *const names[] = {"read_bytes", "float32_operations", "bf16_operations", "int8_operations"};
static double rates[4][passes];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *run(void *argument) {
    int thread = (int)(intptr_t)argument;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpus[thread], &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    size_t share = bytes / (size_t)threads;
    for (size_t i = 0; i < share; i += 4096) memory[share * (size_t)thread + i] = 1;
    for (int which = 0; which < 4; which++)
        for (int pass = 0; pass < passes; pass++) {
            pthread_barrier_wait(&barrier);
            double start = now(), done = jobs[which](thread);
            pthread_barrier_wait(&barrier);
            if (thread == 0) rates[which][pass] = done * threads / (now() - start);
        }
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return difference > 0 ? 1 : difference < 0 ? -1 : 0;
}

int main(int count, char **words) {
    threads = count > 1 ? atoi(words[1]) : 0;
    if (threads < 1 || threads > most || count != threads + 2) return fprintf(stderr, "usage: probe THREADS CPU...\n"), 2;
    for (int thread = 0; thread < threads; thread++) cpus[thread] = atoi(words[2 + thread]);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return perror("mmap"), 1;
    madvise(memory, bytes, MADV_HUGEPAGE);
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    pthread_t handles[most];
    for (int thread = 1; thread < threads; thread++)
        if (pthread_create(&handles[thread], NULL, run, (void *)(intptr_t)thread)) return fprintf(stderr, "no thread\n"), 1;
    run((void *)0);
    for (int thread = 1; thread < threads; thread++) pthread_join(handles[thread], NULL);
    putchar('{');
    for (int which = 0; which < 4; which++) {
        qsort(rates[which], passes, sizeof rates[which][0], ascending);
        printf("%s\"%s\": %.6g", which ? ", " : "", names[which], rates[which][passes / 2]);
    }
    puts("}");
    return 0;
}

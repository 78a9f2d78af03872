// memory.c: memory from the kernel, and when its pages are provided. Owner: the CPU backend.
// Invariant: nothing here changes what memory contains: pages are zero until somebody writes them.

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <sys/mman.h>
#include <unistd.h>

#include "kernels.h"

enum { HUGE_PAGE_BYTES = 2 << 20, PAGE_BYTES = 4096 };

static void *map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void *swiftlet_allocate(size_t bytes) {
    if (bytes == 0) return NULL;
    if (bytes < HUGE_PAGE_BYTES || bytes > SIZE_MAX - HUGE_PAGE_BYTES) return map(bytes);
    // On a boundary of huge pages, so that a block of the cache does not touch one more than it needs.
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (bytes + page - 1) / page * page;
    uint8_t *mapped = map(rounded + HUGE_PAGE_BYTES);
    if (mapped == NULL) return NULL;
    size_t before = (HUGE_PAGE_BYTES - (uintptr_t)mapped % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    if (before > 0) munmap(mapped, before);
    uint8_t *memory = mapped + before;
    munmap(memory + rounded, HUGE_PAGE_BYTES - before);  // before is less
#if defined(MADV_HUGEPAGE)
    madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

void swiftlet_use_small_pages(void *memory, size_t bytes) {
#if defined(MADV_NOHUGEPAGE)
    if (memory != NULL && bytes > 0) madvise(memory, bytes, MADV_NOHUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

void swiftlet_release(void *memory, size_t bytes) {
    if (memory != NULL && bytes > 0) munmap(memory, bytes);
}

typedef struct {
    void *const *areas;
    int32_t count;
    int32_t turn;  // areas from node to node
    size_t first, end;
} provide_work;

// A huge page of one area. Neighbouring pages of an area, and one page of neighbouring areas, go to different nodes.
static void provide_page(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const provide_work *work = context;
    int32_t page = item / work->count;
    size_t begin = work->first + (size_t)page * HUGE_PAGE_BYTES;
    int64_t area = (item % work->count + ((int64_t)(begin / HUGE_PAGE_BYTES) * work->turn)) % work->count;
    size_t end = work->end - begin < HUGE_PAGE_BYTES ? work->end : begin + HUGE_PAGE_BYTES;
    volatile uint8_t *bytes = work->areas[area];
    for (size_t at = begin; at < end; at += PAGE_BYTES) bytes[at] = bytes[at];
}

void swiftlet_provide(swiftlet_cpu *cpu, void *const *areas, int32_t count, size_t first, size_t end) {
    if (count <= 0 || first >= end) return;
    provide_work work = {.areas = areas, .count = count, .first = first, .end = end};
    work.turn = swiftlet_ceil_div(count, swiftlet_pool_nodes(cpu->pool));
    size_t pages = (end - first + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES;
    size_t most = (size_t)(INT32_MAX / count);
    swiftlet_parallel_rounds(cpu, count, (int32_t)(pages < most ? pages : most), provide_page, &work);
}

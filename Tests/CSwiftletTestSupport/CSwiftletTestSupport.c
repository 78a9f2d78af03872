// The test program's own malloc: glibc's, with a counter per thread in front. An executable's symbols win over the
// C library's, so the Swift runtime's allocations are counted too.

#include "CSwiftletTestSupport.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__GLIBC__)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static _Thread_local bool is_counting;
static _Thread_local long allocations;

static void count(void) {
    if (is_counting) allocations++;
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size) {
    count();
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    count();
    void *result = __libc_memalign(alignment, size);
    if (!result) return ENOMEM;
    *memory = result;
    return 0;
}

bool swiftlet_can_count_allocations(void) { return true; }

void swiftlet_begin_counting_allocations(void) {
    allocations = 0;
    is_counting = true;
}

long swiftlet_end_counting_allocations(void) {
    is_counting = false;
    return allocations;
}

#else

bool swiftlet_can_count_allocations(void) { return false; }
void swiftlet_begin_counting_allocations(void) {}
long swiftlet_end_counting_allocations(void) { return 0; }

#endif

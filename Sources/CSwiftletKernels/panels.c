// panels.c: see panels.h. As in pack.c, an item fills about one huge page, in a thread of the memory node whose threads
// will multiply with it.
// Invariant: a tensor is let go of by whoever packs the last panels that need it.

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "panels.h"

enum { ITEM_BYTES = 2 << 20 };

typedef struct {
    int32_t index, first, end;
} panel_range;

typedef struct {
    const swiftlet_panels *panels;
    panel_range *ranges;
    int32_t *left;  // of each matrix: panels that are not packed
    uintptr_t page_bytes;
    int32_t count, ranges_count;
    swiftlet_panels_task task;
    void *context;
} panel_list;

static void advise(const panel_list *list, int32_t index, int advice) {
    if (index >= list->count) return;
    const swiftlet_panels *panels = &list->panels[index];
    for (int32_t i = 0; i < panels->mapping_count; i++) {
        const swiftlet_mapping *mapping = &panels->mappings[i];
        uintptr_t first = (uintptr_t)mapping->bytes & ~(list->page_bytes - 1);
        // Failing to is no failure.
        madvise((void *)first, (uintptr_t)mapping->bytes + mapping->count - first, advice);
    }
}

static void pack_item(void *context, int32_t item, int32_t thread) {
    const panel_list *list = context;
    panel_range range = list->ranges[item];
    if (range.first == 0) advise(list, range.index + 1, MADV_WILLNEED);
    list->task(list->context, range.index, range.first, range.end, thread);
    int32_t packed = range.end - range.first;
    if (__atomic_sub_fetch(&list->left[range.index], packed, __ATOMIC_ACQ_REL) == 0)
        advise(list, range.index, MADV_DONTNEED);
}

static int32_t panels_of(const swiftlet_matrix *matrix) {
    return matrix->columns > 0 ? swiftlet_matrix_panels(matrix->rows, matrix->gated) : 0;
}

// Panels that fill an item.
static int32_t panels_at_once(const swiftlet_matrix *matrix) {
    size_t bytes = swiftlet_panel_words(matrix) * 4;
    return bytes > 0 && bytes < ITEM_BYTES ? (int32_t)(ITEM_BYTES / bytes) : 1;
}

// The panels of one matrix that the threads of one node begin with in a product.
static void add_ranges(panel_list *list, const swiftlet_cpu *cpu, int32_t index, int32_t node) {
    const swiftlet_matrix *matrix = list->panels[index].matrix;
    swiftlet_shares shares = swiftlet_pool_split(cpu->pool, panels_of(matrix), 1);
    int32_t end = shares.starts[node + 1], at_once = panels_at_once(matrix);
    for (int32_t first = shares.starts[node]; first < end; first += at_once)
        list->ranges[list->ranges_count++] =
            (panel_range){index, first, end - first < at_once ? end : first + at_once};
}

bool swiftlet_for_panels(swiftlet_cpu *cpu, const swiftlet_panels *panels, int32_t count, swiftlet_panels_task task,
                         void *context) {
    int32_t nodes = swiftlet_pool_nodes(cpu->pool);
    size_t most = 1;
    for (int32_t i = 0; i < count; i++)
        most += (size_t)(panels_of(panels[i].matrix) / panels_at_once(panels[i].matrix) + nodes);
    panel_list list = {
        .panels = panels, .ranges = malloc(most * sizeof(panel_range)),
        .left = malloc(((size_t)count + 1) * sizeof(int32_t)), .page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE),
        .count = count, .task = task, .context = context,
    };
    bool has_memory = list.ranges != NULL && list.left != NULL;
    if (has_memory) {
        swiftlet_shares shares = {.rounds = 1};
        for (int32_t i = 0; i < count; i++) list.left[i] = panels_of(panels[i].matrix);
        for (int32_t node = 0; node < nodes; node++) {
            for (int32_t i = 0; i < count; i++) add_ranges(&list, cpu, i, node);
            shares.starts[node + 1] = shares.period = list.ranges_count;
        }
        swiftlet_pool_run(cpu->pool, &shares, pack_item, &list);
    }
    free(list.ranges);
    free(list.left);
    return has_memory;
}

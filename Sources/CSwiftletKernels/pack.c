// pack.c: shares out the packing of a model's tensors, all of them at once, so that no thread waits at a tensor's end.
// Owner: the CPU backend. format_*.c pack.
//
// An item is rows of one tensor that fill about one huge page, so that the kernel clears each page once, in the thread
// that then writes it: fresh pages cost no pass of their own. That thread is one of the memory node whose threads will
// multiply with these rows. The file's pages are asked for ahead and let go of when they are packed: resident memory
// stays that of the packed weights.
// Invariant: every row of every tensor is packed by exactly one item.

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format.h"

enum {
    ITEM_BYTES = 2 << 20,
    ITEMS_AHEAD = 16,  // asked for before they are needed: 32 MiB hide a disk's latency
};

typedef struct {
    const swiftlet_cpu *cpu;
    swiftlet_pack *packs;
    uintptr_t page_bytes;
    int32_t count, items;
} pack_list;

/// Rows of one tensor.
typedef struct {
    const swiftlet_pack *pack;
    int32_t first, end;
} pack_rows;

// --- Rows of one tensor -------------------------------------------------------------------------------------

static size_t row_bytes(const swiftlet_pack *pack) {
    return pack->source_stride * swiftlet_source_bytes(pack->type);
}

// Rows first..<end of a tensor that lie in one panel.
static void pack_panel(const swiftlet_cpu *cpu, const swiftlet_pack *pack, int32_t panel, int32_t first, int32_t end) {
    const swiftlet_matrix *matrix = &pack->matrix;
    const swiftlet_format *format = swiftlet_format_of(matrix);
    int32_t per_panel = matrix->gated ? 32 : 64, first_lane = pack->part == SWIFTLET_PART_UP ? 32 : 0;
    for (int32_t row = first; row < end; row += format->rows_at_once) {
        const uint8_t *whole_row = (const uint8_t *)pack->source + (size_t)(row - pack->first_row) * row_bytes(pack);
        pack_group group = {
            .cpu = cpu, .matrix = matrix, .row_bytes = row_bytes(pack), .type = pack->type, .whole_row = whole_row,
            .whole_columns = pack->source_columns > 0 ? pack->source_columns : matrix->columns,
            .source = whole_row + (size_t)pack->first_column * swiftlet_source_bytes(pack->type),
            .rows = end - row < format->rows_at_once ? end - row : format->rows_at_once,
            .panel = matrix->words + (size_t)panel * format->panel_words(matrix),
            .lane = first_lane + row - panel * per_panel,
        };
        format->pack(&group);
    }
}

void swiftlet_pack_here(const swiftlet_cpu *cpu, const swiftlet_pack *pack, int32_t first_row, int32_t rows) {
    int32_t per_panel = pack->matrix.gated ? 32 : 64, end = first_row + rows;
    for (int32_t first = first_row; first < end;) {
        int32_t panel = first / per_panel, next = (panel + 1) * per_panel;
        pack_panel(cpu, pack, panel, first, end < next ? end : next);
        first = next;
    }
#if defined(__x86_64__)
    __builtin_ia32_sfence();  // what went past the caches is seen by whoever sees that this is done
#endif
}

// --- All tensors --------------------------------------------------------------------------------------------

/// A multiple of a panel's rows.
static int32_t rows_per_item(const swiftlet_matrix *matrix) {
    size_t panel = swiftlet_panel_words(matrix) * 4;
    size_t panels = panel > 0 && panel < ITEM_BYTES ? ITEM_BYTES / panel : 1;
    return (int32_t)panels * (matrix->gated ? 32 : 64);
}

static int32_t item_count(const swiftlet_pack *pack) {
    if (pack->rows <= 0 || pack->matrix.columns <= 0) return 0;
    int32_t per_item = rows_per_item(&pack->matrix);
    return (pack->first_row + pack->rows - 1) / per_item - pack->first_row / per_item + 1;
}

static pack_rows rows_of_item(const pack_list *list, int32_t item) {
    int32_t low = 0, high = list->count;  // the last tensor whose items start at or before this one
    while (high - low > 1) {
        int32_t middle = low + (high - low) / 2;
        if (list->packs[middle].first_item <= item) low = middle;
        else high = middle;
    }
    const swiftlet_pack *pack = &list->packs[low];
    int32_t per_item = rows_per_item(&pack->matrix), end = pack->first_row + pack->rows;
    int32_t first = (pack->first_row / per_item + item - pack->first_item) * per_item;
    pack_rows rows = {pack, first, end - first < per_item ? end : first + per_item};
    if (rows.first < pack->first_row) rows.first = pack->first_row;
    return rows;
}

// To the kernel about the pages of some rows' source, if it is a file's mapping: the page that a neighbour also needs
// is at worst mapped again.
static void advise(const pack_list *list, const pack_rows *rows, int advice) {
    const swiftlet_pack *pack = rows->pack;
    if (!pack->mapped) return;
    uintptr_t source = (uintptr_t)pack->source - (size_t)pack->first_row * row_bytes(pack);
    uintptr_t first = (source + (size_t)rows->first * row_bytes(pack)) & ~(list->page_bytes - 1);
    madvise((void *)first, source + (size_t)rows->end * row_bytes(pack) - first, advice);  // failing to is no failure
}

static void pack_item(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const pack_list *list = context;
    pack_rows rows = rows_of_item(list, item);
    if (item + ITEMS_AHEAD < list->items) {
        pack_rows ahead = rows_of_item(list, item + ITEMS_AHEAD);
        advise(list, &ahead, MADV_WILLNEED);
    }
    swiftlet_pack_here(list->cpu, rows.pack, rows.first, rows.end - rows.first);
    advise(list, &rows, MADV_DONTNEED);
}

// The rows of a tensor whose panels the threads of one node begin with in a product.
static swiftlet_pack part_of_node(const swiftlet_cpu *cpu, const swiftlet_pack *pack, int32_t node) {
    const swiftlet_matrix *matrix = &pack->matrix;
    swiftlet_shares panels = swiftlet_pool_split(cpu->pool, swiftlet_matrix_panels(matrix->rows, matrix->gated), 1);
    int32_t per_panel = matrix->gated ? 32 : 64, end = pack->first_row + pack->rows;
    int32_t first = panels.starts[node] * per_panel, limit = panels.starts[node + 1] * per_panel;
    if (first < pack->first_row) first = pack->first_row;
    if (limit > end) limit = end;
    swiftlet_pack part = *pack;
    part.source = (const uint8_t *)pack->source + (size_t)(first - pack->first_row) * row_bytes(pack);
    part.first_row = first;
    part.rows = limit - first;  // none: not positive
    return part;
}

bool swiftlet_pack_all(swiftlet_cpu *cpu, const swiftlet_pack *packs, int32_t count) {
    int32_t nodes = swiftlet_pool_nodes(cpu->pool);
    pack_list list = {
        .cpu = cpu, .packs = malloc(((size_t)count * (size_t)nodes + 1) * sizeof(swiftlet_pack)),
        .page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE),
    };
    if (list.packs == NULL) return false;
    swiftlet_shares shares = {.rounds = 1};
    for (int32_t node = 0; node < nodes; node++) {
        for (int32_t i = 0; i < count; i++) {
            swiftlet_pack part = part_of_node(cpu, &packs[i], node);
            if (item_count(&part) == 0) continue;
            part.first_item = list.items;
            list.packs[list.count++] = part;
            list.items += item_count(&part);
        }
        shares.starts[node + 1] = shares.period = list.items;
    }
    swiftlet_pool_run(cpu->pool, &shares, pack_item, &list);
    free(list.packs);
    return true;
}

bool swiftlet_pack_rows(swiftlet_cpu *cpu, const swiftlet_matrix *matrix, swiftlet_part part, int32_t first_row,
                        int32_t rows, const void *source, swiftlet_source type, size_t source_stride) {
    swiftlet_pack pack = {
        .matrix = *matrix, .part = part, .first_row = first_row, .rows = rows, .source = source, .type = type,
        .source_stride = source_stride,
    };
    return swiftlet_pack_all(cpu, &pack, 1);
}

// experts.c: a mixture of experts: which rows go to which expert, and one list of items for the products of all
// experts. The products themselves are linear.c's, the arithmetic in between is experts.inc.h's. Owner: the CPU
// backend.
//
// A token's rows, one for each of its experts, are copied to where the other rows of that expert are; so an expert is
// an ordinary matrix product over neighbouring rows. An item is a panel of one expert times a chunk of its rows:
// however few rows an expert has, there are enough items for all threads, and a panel is read once for all of them.
// Invariant: a row's result depends neither on the rows beside it nor on the order of the items.

#include <string.h>

#include "kernels.h"

enum {
    ROUTE_VALUES = 2048,  // logits of an item
    COPY_BYTES = 32768,   // of an item
};

/// A chunk of the rows of one expert, for which each panel of it is an item.
typedef struct {
    int32_t product, chunk;
} expert_round;

/// What a slice of tokens needs. A row is a token at one of its experts; rows are sorted by expert.
typedef struct {
    int32_t tokens;         // at once
    int32_t *experts;       // [tokens, per_token], ascending
    float *weights;         // [tokens, per_token]
    int32_t *rows;          // [tokens, per_token]
    int32_t *starts;        // [count + 1], the first row of each expert
    linear_work *products;  // [count], of experts that have rows
    expert_round *rounds;
    uint8_t *x, *activated;     // [rows], of the dtype or quantised, in the order of the matrices' columns
    uint8_t *unsorted, *exact;  // [tokens], [rows]: x before it is sorted, activations as they are computed
    uint8_t *ordered;           // [rows]: either of them in that order, before it is quantised
    float *partials;            // [rows, hidden]
    size_t x_stride, activated_stride, exact_stride, ordered_stride;  // in bytes
    size_t partials_stride;                                           // in values
    size_t bytes;
} expert_space;

// --- The workspace ------------------------------------------------------------------------------------------

static size_t element_bytes(const swiftlet_matrix *matrix) { return matrix->dtype == SWIFTLET_BFLOAT16 ? 2 : 4; }

// Bytes from row to row: an odd number of cache lines.
static size_t row_stride(int32_t columns, size_t bytes) { return (((size_t)columns * bytes + 63) / 64 | 1) * 64; }

// Columns of the activations: what gate and up, which lie side by side, come to.
static int32_t width(const swiftlet_experts *experts) { return experts->gate_up->rows / 2; }

// Of a row that any of the experts' last products reads: where ranks cut columns that have an order of their own, each
// expert's groups are filled up in another way.
static int32_t down_columns(const swiftlet_experts *experts) {
    int32_t most = experts->down->columns;
    for (int32_t expert = 0; experts->down_orders != NULL && expert < experts->count; expert++)
        if (experts->down[expert].columns > most) most = experts->down[expert].columns;
    return most;
}

static int32_t tokens_at_once(const swiftlet_experts *experts, int32_t tokens) {
    int32_t most = SWIFTLET_EXPERT_ROWS / experts->per_token;
    return tokens < most ? tokens : most;
}

static void *carve(uint8_t *base, size_t *used, size_t bytes) {
    size_t at = *used;
    *used += (bytes + 63) / 64 * 64;
    return base == NULL ? NULL : base + at;
}

// Bytes from row to row of what the experts' first or last products read, or 0: not quantised.
static size_t quantized_stride(const swiftlet_cpu *cpu, const swiftlet_matrix *matrix, int32_t columns) {
    swiftlet_matrix widest = *matrix;
    widest.columns = columns;
    return swiftlet_quantized_stride(cpu, &widest);
}

static expert_space space_at(const swiftlet_cpu *cpu, const swiftlet_experts *experts, int32_t tokens, uint8_t *base) {
    const swiftlet_matrix *gate_up = experts->gate_up, *down = experts->down;
    expert_space space = {.tokens = tokens_at_once(experts, tokens)};
    size_t used = 0, count = (size_t)experts->count, slice = (size_t)space.tokens;
    size_t rows = slice * (size_t)experts->per_token;
    bool orders_x = experts->gate_up_orders != NULL, orders_activated = experts->down_orders != NULL;
    size_t quantized_x = quantized_stride(cpu, gate_up, gate_up->columns);
    size_t quantized_activated = quantized_stride(cpu, down, down_columns(experts));
    size_t plain_x = row_stride(gate_up->columns, element_bytes(gate_up));
    size_t plain_activated = row_stride(down_columns(experts), element_bytes(down));
    // Where the activations are not what the last product reads.
    bool is_apart = quantized_activated > 0 || orders_activated;
    space.x_stride = quantized_x > 0 ? quantized_x : plain_x;
    space.exact_stride = row_stride(width(experts), element_bytes(down));
    space.activated_stride = is_apart ? plain_activated : space.exact_stride;
    if (quantized_activated > 0) space.activated_stride = quantized_activated;
    if (orders_x && quantized_x > 0) space.ordered_stride = plain_x;
    if (orders_activated && quantized_activated > 0 && plain_activated > space.ordered_stride)
        space.ordered_stride = plain_activated;
    space.partials_stride = row_stride(down->rows, 4) / 4;
#define CARVE(n) carve(base, &used, n)
    space.experts = CARVE(rows * 4);
    space.weights = CARVE(rows * 4);
    space.rows = CARVE(rows * 4);
    space.starts = CARVE((count + 1) * 4);
    space.products = CARVE(count * sizeof(linear_work));
    space.rounds = CARVE((count + rows / SWIFTLET_CHUNK_TOKENS) * sizeof(expert_round));
    space.x = CARVE(rows * space.x_stride);
    space.exact = CARVE(rows * space.exact_stride);
    space.partials = CARVE(rows * space.partials_stride * 4);
    space.activated = is_apart ? CARVE(rows * space.activated_stride) : space.exact;
    space.unsorted = CARVE(quantized_x > 0 && !orders_x ? slice * space.x_stride : 0);
    space.ordered = CARVE(rows * space.ordered_stride);
#undef CARVE
    space.bytes = used;
    return space;
}

size_t swiftlet_experts_workspace_bytes(const swiftlet_cpu *cpu, const swiftlet_experts *experts, int32_t tokens) {
    return space_at(cpu, experts, tokens, NULL).bytes;
}

// --- Rows ---------------------------------------------------------------------------------------------------

static void route(swiftlet_cpu *cpu, const swiftlet_experts *experts, const float *logits, size_t logits_stride,
                  int32_t tokens, const expert_space *space) {
    route_work work = {
        .logits = logits, .logits_stride = logits_stride, .experts = space->experts, .weights = space->weights,
        .tokens = tokens, .count = experts->count, .per_token = experts->per_token,
        .renormalizes = experts->renormalizes,
        .tokens_per_item = swiftlet_ceil_div(ROUTE_VALUES, experts->count),
    };
    swiftlet_parallel_for(cpu, swiftlet_ceil_div(tokens, work.tokens_per_item), cpu->kernels->route, &work);
}

// Gives each token a row at each of its experts: a counting sort, by expert, then by token.
static void sort_rows(const swiftlet_experts *experts, int32_t tokens, const expert_space *space) {
    int32_t rows = tokens * experts->per_token, *starts = space->starts;
    memset(starts, 0, ((size_t)experts->count + 1) * sizeof(int32_t));
    for (int32_t i = 0; i < rows; i++) starts[space->experts[i] + 1]++;
    for (int32_t expert = 0; expert < experts->count; expert++) starts[expert + 1] += starts[expert];
    for (int32_t i = 0; i < rows; i++) space->rows[i] = starts[space->experts[i]]++;
    // Each start is now where the next expert's rows begin.
    memmove(starts + 1, starts, (size_t)experts->count * sizeof(int32_t));
    starts[0] = 0;
}

typedef struct {
    const expert_space *space;
    const swiftlet_matrix *matrices;  // of the experts, that multiply the copies
    const int32_t *const *orders;    // of the experts' columns, or NULL
    const uint8_t *x;                // [tokens], or [rows] as sorted
    uint8_t *out;                    // [rows]
    size_t x_stride, out_stride, bytes;  // of a row, in bytes
    int32_t per_token, rows, rows_per_item;
    bool is_sorted;                  // x is
} copy_work;

static void copy_rows(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const copy_work *work = context;
    const expert_space *space = work->space;
    int32_t first = item * work->rows_per_item, rest = work->rows - first;
    int32_t end = first + (rest < work->rows_per_item ? rest : work->rows_per_item);
    for (int32_t i = first; i < end; i++) {
        int32_t row = space->rows[i], token = i / work->per_token;
        const uint8_t *x = work->x + (size_t)(work->is_sorted ? row : token) * work->x_stride;
        uint8_t *out = work->out + (size_t)row * work->out_stride;
        const int32_t *order = work->orders == NULL ? NULL : work->orders[space->experts[i]];
        if (order == NULL)
            memcpy(out, x, work->bytes);
        else
            swiftlet_order_row(&work->matrices[space->experts[i]], order, x, out);
    }
}

static void copy(swiftlet_cpu *cpu, copy_work *work) {
    work->rows_per_item = COPY_BYTES / (int32_t)work->bytes + 1;
    swiftlet_parallel_for(cpu, swiftlet_ceil_div(work->rows, work->rows_per_item), copy_rows, work);
}

// Sorted rows as the experts' products read them, where each expert's columns have an order of their own.
static void quantize_each(swiftlet_cpu *cpu, const swiftlet_experts *experts, const swiftlet_matrix *matrices,
                          const expert_space *space, uint8_t *out, size_t out_stride) {
    size_t element = element_bytes(matrices);
    for (int32_t expert = 0; expert < experts->count; expert++) {
        size_t first = (size_t)space->starts[expert];
        swiftlet_quantize_rows(cpu, &matrices[expert], space->ordered + first * space->ordered_stride,
                               space->ordered_stride / element, space->starts[expert + 1] - space->starts[expert],
                               out + first * out_stride, out_stride);
    }
}

// x, sorted by expert and as the experts' products read it.
static void gather(swiftlet_cpu *cpu, const swiftlet_experts *experts, const void *x, size_t x_stride, int32_t tokens,
                   const expert_space *space) {
    const swiftlet_matrix *gate_up = experts->gate_up;
    bool quantizes = swiftlet_quantized_stride(cpu, gate_up) > 0, orders = experts->gate_up_orders != NULL;
    size_t element = element_bytes(gate_up);
    copy_work work = {
        .space = space, .matrices = gate_up, .orders = experts->gate_up_orders, .x = x, .out = space->x,
        .x_stride = x_stride * element, .out_stride = space->x_stride, .bytes = (size_t)gate_up->columns * element,
        .per_token = experts->per_token, .rows = tokens * experts->per_token,
    };
    if (quantizes && orders) {
        work.out = space->ordered;
        work.out_stride = space->ordered_stride;
    } else if (quantizes) {
        swiftlet_quantize_rows(cpu, gate_up, x, x_stride, tokens, space->unsorted, space->x_stride);
        work.x = space->unsorted;
        work.x_stride = work.bytes = space->x_stride;
    }
    copy(cpu, &work);
    if (quantizes && orders) quantize_each(cpu, experts, gate_up, space, space->x, space->x_stride);
}

// The activations as the experts' last products read them.
static void prepare_activated(swiftlet_cpu *cpu, const swiftlet_experts *experts, int32_t tokens,
                              const expert_space *space) {
    const swiftlet_matrix *down = experts->down;
    bool quantizes = swiftlet_quantized_stride(cpu, down) > 0, orders = experts->down_orders != NULL;
    int32_t rows = tokens * experts->per_token;
    if (orders) {
        copy_work work = {
            .space = space, .matrices = down, .orders = experts->down_orders, .x = space->exact,
            .out = quantizes ? space->ordered : space->activated, .x_stride = space->exact_stride,
            .out_stride = quantizes ? space->ordered_stride : space->activated_stride,
            .bytes = (size_t)width(experts) * element_bytes(down), .per_token = experts->per_token, .rows = rows,
            .is_sorted = true,
        };
        copy(cpu, &work);
    }
    if (quantizes && orders)
        quantize_each(cpu, experts, down, space, space->activated, space->activated_stride);
    else if (quantizes)
        swiftlet_quantize_rows(cpu, down, space->exact, space->exact_stride / element_bytes(down), rows,
                               space->activated, space->activated_stride);
}

// --- Products -----------------------------------------------------------------------------------------------

typedef struct {
    swiftlet_task task;
    linear_work *products;
    const expert_round *rounds;
    int32_t panels;
} expert_products;

static void multiply_panel(void *context, int32_t item, int32_t thread) {
    const expert_products *work = context;
    const expert_round *round = &work->rounds[item / work->panels];
    work->task(&work->products[round->product], round->chunk * work->panels + item % work->panels, thread);
}

// The product of each expert's matrix and its rows. x is as sorted, with `x_stride` bytes from row to row; `out` has
// `out_stride` bytes.
static void multiply(swiftlet_cpu *cpu, const swiftlet_experts *experts, const swiftlet_matrix *matrices,
                     const expert_space *space, const uint8_t *x, size_t x_stride, swiftlet_epilogue epilogue,
                     uint8_t *out, size_t out_stride) {
    size_t x_element = swiftlet_quantized_stride(cpu, matrices) > 0 ? 1 : element_bytes(matrices);
    size_t out_element = epilogue == SWIFTLET_STORE_FLOAT ? 4 : element_bytes(matrices);
    expert_products work = {
        .task = cpu->kernels->linear[matrices->format][matrices->dtype], .products = space->products,
        .rounds = space->rounds, .panels = swiftlet_matrix_panels(matrices->rows, matrices->gated),
    };
    int32_t rounds = 0, products = 0;
    for (int32_t expert = 0; expert < experts->count; expert++) {
        int32_t first = space->starts[expert], rows = space->starts[expert + 1] - first;
        if (rows == 0) continue;
        linear_work *product = &space->products[products];
        *product = swiftlet_linear_work(cpu, &matrices[expert], rows);
        product->x = x + (size_t)first * x_stride;
        product->x_stride = x_stride / x_element;
        product->epilogue = epilogue;
        product->out = out + (size_t)first * out_stride;
        product->out_stride = out_stride / out_element;
        // Evenly: a chunk of a few rows would read all panels for little.
        int32_t chunks = swiftlet_ceil_div(rows, SWIFTLET_CHUNK_TOKENS);
        product->tokens_per_chunk = swiftlet_ceil_div(rows, chunks);
        for (int32_t chunk = 0; chunk < chunks; chunk++) space->rounds[rounds++] = (expert_round){products, chunk};
        products++;
    }
    swiftlet_parallel_rounds(cpu, work.panels, rounds, multiply_panel, &work);
}

static void sum(swiftlet_cpu *cpu, const swiftlet_experts *experts, int32_t tokens, const expert_space *space,
                bool adds, float *out, size_t out_stride) {
    expert_sum_work work = {
        .partials = space->partials, .weights = space->weights, .rows = space->rows, .out = out,
        .partials_stride = space->partials_stride, .out_stride = out_stride, .columns = experts->down->rows,
        .per_token = experts->per_token, .blocks = swiftlet_ceil_div(experts->down->rows, EXPERT_SUM_COLUMNS),
        .adds = adds,
    };
    swiftlet_parallel_for(cpu, tokens * work.blocks, cpu->kernels->sum_experts, &work);
}

// --- All of it ----------------------------------------------------------------------------------------------

static void mix(swiftlet_cpu *cpu, const swiftlet_experts *experts, const void *x, size_t x_stride, int32_t tokens,
                const float *logits, size_t logits_stride, bool adds, float *out, size_t out_stride,
                const expert_space *space) {
    route(cpu, experts, logits, logits_stride, tokens, space);
    sort_rows(experts, tokens, space);
    gather(cpu, experts, x, x_stride, tokens, space);
    multiply(cpu, experts, experts->gate_up, space, space->x, space->x_stride, experts->activation, space->exact,
             space->exact_stride);
    prepare_activated(cpu, experts, tokens, space);
    multiply(cpu, experts, experts->down, space, space->activated, space->activated_stride, SWIFTLET_STORE_FLOAT,
             (uint8_t *)space->partials, space->partials_stride * 4);
    sum(cpu, experts, tokens, space, adds, out, out_stride);
}

void swiftlet_mixture_of_experts(swiftlet_cpu *cpu, const swiftlet_experts *experts, const void *x, size_t x_stride,
                                 int32_t tokens, const float *logits, size_t logits_stride, bool adds, float *out,
                                 size_t out_stride, void *workspace) {
    if (tokens <= 0) return;
    expert_space space = space_at(cpu, experts, tokens, workspace);
    for (int32_t first = 0; first < tokens; first += space.tokens) {
        int32_t rest = tokens - first;
        mix(cpu, experts, (const uint8_t *)x + (size_t)first * x_stride * element_bytes(experts->gate_up), x_stride,
            rest < space.tokens ? rest : space.tokens, logits + (size_t)first * logits_stride, logits_stride, adds,
            out + (size_t)first * out_stride, out_stride, &space);
    }
}

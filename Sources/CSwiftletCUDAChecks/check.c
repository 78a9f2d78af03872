// check.c: the list of checks, and what they share. Owner: the CUDA backend's selftest and tests.
//
// Invariant: random numbers are the same on every machine.

#include "check.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    void (*run)(check *);
    bool is_quantized;  // kernels of the program for quantised weights
} checks[] = {
    {"steps and embedding", check_steps, false},
    {"random weights", check_fills, false},
    {"norms", check_norms, false},
    {"norms of columns", check_column_norms, false},
    {"products", check_linear, false},
    {"rope and cache", check_rope, false},
    {"attention, one row", check_decode, false},
    {"attention, prompts", check_prefill, false},
    {"sampling", check_sample, false},
    {"experts", check_experts, false},
    {"quantised products", check_quantized_products, true},
    {"quantised layouts", check_quantized_layouts, true},
    {"quantised experts", check_quantized_experts, true},
};
enum { CHECKS = sizeof checks / sizeof checks[0] };

const char *swiftlet_cuda_check_name(int index) { return index >= 0 && index < CHECKS ? checks[index].name : NULL; }

const char *swiftlet_cuda_check_program(int index) {
    return checks[index].is_quantized ? "quantized.cu" : "swiftlet.cu";
}

int swiftlet_cuda_check(int index, const struct swiftlet_cuda_calls *calls, void *module,
                        const struct swiftlet_cuda_shapes *shapes, int size, char *text, size_t bytes) {
    check c = {
        .calls = calls, .module = module, .shapes = shapes, .size = size, .text = text, .text_bytes = bytes,
        .random = 0x9e3779b97f4a7c15u,
    };
    text[0] = 0;
    checks[index].run(&c);
    end_case(&c);
    if (c.status == 0)
        snprintf(text, bytes, "%ld values, largest error %.2f of what is allowed", c.compared, c.worst);
    return c.status;
}

void fail_check(check *c, const char *format, ...) {
    if (c->status != 0) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->text, c->text_bytes, format, arguments);
    va_end(arguments);
    c->status = -1;
}

static void note(check *c, int status, const char *what) {
    if (status == 0 || c->status != 0) return;
    snprintf(c->text, c->text_bytes, "%s: status %d", what, status);
    c->status = status;
}

// --- Memory and launches -----------------------------------------------------------------------------------------

void *host_memory(check *c, size_t bytes) {
    void *block = calloc(bytes > 0 ? bytes : 1, 1);
    if (c->block_count == MAX_ALLOCATIONS || block == NULL) abort();
    return c->blocks[c->block_count++] = block;
}

uint64_t device_memory(check *c, const void *contents, size_t bytes) {
    uint64_t address = 0;
    if (c->status != 0) return 0;
    if (c->address_count == MAX_ALLOCATIONS) abort();
    note(c, c->calls->allocate(&address, bytes), "allocating");
    if (c->status != 0) return 0;
    c->addresses[c->address_count++] = address;
    if (contents != NULL) note(c, c->calls->copy_in(address, contents, bytes), "copying in");
    return address;
}

void copy_from_device(check *c, void *to, uint64_t from, size_t bytes) {
    if (c->status == 0) note(c, c->calls->copy_out(to, from, bytes), "copying out");
}

void end_case(check *c) {
    for (int i = 0; i < c->address_count; i++) {
        int status = c->calls->free(c->addresses[i]);
        note(c, status, "freeing: something was written behind the end of an allocation");
    }
    for (int i = 0; i < c->block_count; i++) free(c->blocks[i]);
    c->address_count = c->block_count = 0;
}

void run_kernel(check *c, const char *name, grid g, unsigned threads, void **arguments) {
    if (c->status != 0 || g.x == 0 || g.y == 0 || g.z == 0) return;
    void *function = NULL;
    note(c, c->calls->find(&function, c->module, name), name);
    if (c->status != 0) return;
    note(c, c->calls->launch(function, g.x, g.y, g.z, threads, 1, 1, 0, NULL, arguments, NULL), name);
    if (c->status == 0) note(c, c->calls->synchronize(NULL), name);
}

// --- Elements ------------------------------------------------------------------------------------------------------

static uint64_t next_random(check *c) {
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    return c->random ^= c->random << 17;
}

float random_float(check *c) { return (float)(next_random(c) >> 40) * 0x1p-23f - 1; }
int random_below(check *c, int limit) { return (int)((next_random(c) >> 33) % (uint64_t)limit); }

float *random_floats(check *c, size_t count) {
    float *values = host_memory(c, count * sizeof(float));
    for (size_t i = 0; i < count; i++) values[i] = random_float(c);
    return values;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

float rounded_bf16(float x) {
    uint32_t bits = bits_of(x);
    if (x != x) return x;
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, 4);
    return x;
}

float as_element(const check *c, float x) { return c->shapes->compute_float ? x : rounded_bf16(x); }
size_t element_size(const check *c) { return c->shapes->compute_float ? 4 : 2; }

uint64_t device_floats(check *c, const float *values, size_t count) { return device_memory(c, values, 4 * count); }

uint64_t device_elements(check *c, float *values, size_t count) {
    if (c->shapes->compute_float) return device_floats(c, values, count);
    uint16_t *elements = malloc(2 * count);
    for (size_t i = 0; i < count; i++) {
        values[i] = rounded_bf16(values[i]);
        elements[i] = (uint16_t)(bits_of(values[i]) >> 16);
    }
    uint64_t address = device_memory(c, elements, 2 * count);
    free(elements);
    return address;
}

float *floats_of(check *c, uint64_t address, size_t count) {
    float *values = host_memory(c, 4 * count);
    copy_from_device(c, values, address, 4 * count);
    return values;
}

float *elements_of(check *c, uint64_t address, size_t count) {
    if (c->shapes->compute_float) return floats_of(c, address, count);
    uint16_t *elements = host_memory(c, 2 * count);
    float *values = host_memory(c, 4 * count);
    copy_from_device(c, elements, address, 2 * count);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)elements[i] << 16;
        memcpy(&values[i], &bits, 4);
    }
    return values;
}

// --- Eight bits ------------------------------------------------------------------------------------------------------

/// The value of e4m3's bits.
static float fp8_value(int bits) {
    int exponent = bits >> 3 & 15, mantissa = bits & 7;
    float size = exponent == 0 ? ldexpf((float)mantissa, -9) : ldexpf((float)(8 + mantissa), exponent - 10);
    if ((bits & 127) == 127) size = NAN;
    return bits & 128 ? -size : size;
}

/// The nearest one, of two the even one; 448 is the largest, and NaN becomes -448.
static uint8_t fp8_bits(float x) {
    float size = x == x ? fminf(fabsf(x), 448) : 448;
    int sign = signbit(x) || x != x ? 128 : 0, exponent = size > 0x1p-6f ? ilogbf(size) : -6;
    int eighths = (int)nearbyintf(ldexpf(size, 3 - exponent));  // of 2^exponent
    // Those of a normal number have the leading one, which is the exponent's lowest bit.
    return (uint8_t)(sign | (8 * (exponent + 6) + eighths));
}

float as_cached(const check *c, float x) { return c->shapes->kv_fp8 ? fp8_value(fp8_bits(x)) : as_element(c, x); }

uint64_t device_cached(check *c, float *values, size_t count) {
    if (!c->shapes->kv_fp8) return device_elements(c, values, count);
    uint8_t *bytes = malloc(count);
    for (size_t i = 0; i < count; i++) {
        bool is_hole = values[i] != values[i];  // nothing was stored there
        bytes[i] = is_hole ? 0xff : fp8_bits(values[i]);
        values[i] = fp8_value(bytes[i]);
    }
    uint64_t address = device_memory(c, bytes, count);
    free(bytes);
    return address;
}

float *cached_of(check *c, uint64_t address, size_t count) {
    if (!c->shapes->kv_fp8) return elements_of(c, address, count);
    uint8_t *bytes = host_memory(c, count);
    float *values = host_memory(c, 4 * count);
    copy_from_device(c, bytes, address, count);
    for (size_t i = 0; i < count; i++) values[i] = fp8_value(bytes[i]);
    return values;
}

// --- Comparisons -----------------------------------------------------------------------------------------------------

void compare(check *c, const char *what, const float *got, const float *want, size_t count, double absolute,
             double relative) {
    for (size_t i = 0; i < count && c->status == 0; i++) {
        c->compared++;
        if (got[i] == want[i] || (got[i] != got[i] && want[i] != want[i])) continue;
        double error = fabs((double)got[i] - (double)want[i]), allowed = absolute + relative * fabs((double)want[i]);
        if (!(error <= allowed)) fail_check(c, "%s: value %zu is %g and not %g", what, i, (double)got[i], (double)want[i]);
        else if (error / allowed > c->worst) c->worst = error / allowed;
    }
}

void compare_integers(check *c, const char *what, const int *got, const int *want, size_t count) {
    for (size_t i = 0; i < count && c->status == 0; i++) {
        c->compared++;
        if (got[i] != want[i]) fail_check(c, "%s: value %zu is %d and not %d", what, i, got[i], want[i]);
    }
}

// --- Batches ---------------------------------------------------------------------------------------------------------

batch *make_batch(check *c, int sequences, const int *rows, const int *contexts) {
    batch *b = host_memory(c, sizeof(batch));
    int size = c->shapes->block_size, needed = 0;
    for (int s = 0; s < sequences; s++) {
        int blocks = (contexts[s] + size - 1) / size;
        b->tokens += rows[s];
        needed += blocks;
        if (blocks > b->stride) b->stride = blocks;
    }
    b->sequences = sequences;
    b->blocks = needed + 3;
    b->ids = b->words + 8;
    b->logits = b->ids + b->tokens;
    b->offsets = b->logits + 2 * b->tokens;
    b->contexts = b->offsets + sequences + 1;
    b->tables = b->contexts + sequences;
    b->word_count = (int)(b->tables - b->words) + sequences * b->stride;
    int *order = host_memory(c, (size_t)b->blocks * sizeof(int));
    for (int i = 0; i < b->blocks; i++) {
        int j = random_below(c, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int s = 0, row = 0, next = 0; s < sequences; s++) {
        b->contexts[s] = contexts[s];
        for (int i = 0; i < b->stride; i++)  // what is not used would lead far away
            b->tables[s * b->stride + i] = i < (contexts[s] + size - 1) / size ? order[next++] : 0x3fffffff / size;
        for (int i = 0; i < rows[s]; i++, row++) {
            b->row_sequence[row] = s;
            b->row_position[row] = contexts[s] - rows[s] + i;
            b->ids[row] = random_below(c, 50);
            if (i + 1 == rows[s]) b->logits[b->logit_rows++] = row;
        }
        b->offsets[s + 1] = row;
    }
    int header[] = {b->tokens, b->sequences, b->logit_rows, b->blocks, b->stride, 0, 0, 0};
    memcpy(b->words, header, sizeof header);
    return b;
}

int slot_of(const check *c, const batch *b, int sequence, int position) {
    int size = c->shapes->block_size;
    return b->tables[sequence * b->stride + position / size] * size + position % size;
}

uint64_t device_batch(check *c, const batch *b) { return device_memory(c, b->words, (size_t)b->word_count * 4); }

// logits.inc.h: reductions over one row of logits. See level.inc.h.
// Invariant: a block's result depends on its values alone; logits.c merges blocks in ascending order.

// The lane bits of a mask of 0 / -1.
INLINE uint32_t mask_bits(vi mask) {
#if HAS_AVX512
    return (uint32_t)_mm512_movepi32_mask((__m512i)mask);
#elif defined(LEVEL_AVX2)
    __m256 halves[2];
    memcpy(halves, &mask, 64);
    return (uint32_t)_mm256_movemask_ps(halves[0]) | (uint32_t)_mm256_movemask_ps(halves[1]) << 8;
#else
    return __builtin_reduce_or((vw)mask & (vw_set(1) << (vw)vi_iota()));
#endif
}

// Sixteen values from p on, of which n remain; those past the end read as `filler`.
INLINE vf load_row(const float *p, int32_t n, float filler) {
    if (n >= 16) return vf_load(p);
    return vf_select(mask_first(n), vf_load_first(p, n), vf_set(filler));
}

// The largest value; -inf when there are only NaNs.
static float row_maximum(const float *p, int32_t count) {
    vf best[4];
    for (int j = 0; j < 4; j++) best[j] = vf_set(-INFINITY);
    int32_t c = 0;
    for (; c + 64 <= count; c += 64)
        for (int j = 0; j < 4; j++) best[j] = vf_max(vf_load(p + c + 16 * j), best[j]);
    for (; c < count; c += 16) best[0] = vf_max(load_row(p + c, count - c, -INFINITY), best[0]);
    return vf_maximum(vf_max(vf_max(best[0], best[1]), vf_max(best[2], best[3])));
}

// The first index of a value; -1 when it is not there.
static int32_t row_index(const float *p, int32_t count, float value) {
    for (int32_t c = 0; c < count; c += 16) {
        uint32_t equal = mask_bits(load_row(p + c, count - c, NAN) == vf_set(value));
        if (equal) return c + __builtin_ctz(equal);
    }
    return -1;
}

static void logits_block_maximum(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const logits_work *work = context;
    int32_t first = item * work->block;
    int32_t count = work->count - first < work->block ? work->count - first : work->block;
    logits_partial *partial = &work->partials[item];
    partial->maximum = row_maximum(work->logits + first, count);
    int32_t index = row_index(work->logits + first, count, partial->maximum);
    partial->index = index < 0 ? -1 : first + index;
}

static void logits_block_sum(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const logits_work *work = context;
    int32_t first = item * work->block;
    int32_t count = work->count - first < work->block ? work->count - first : work->block;
    const float *p = work->logits + first;
    logits_partial *partial = &work->partials[item];
    float maximum = partial->maximum = row_maximum(p, count);
    partial->sum = 0;
    if (!(maximum > -INFINITY && maximum < INFINITY)) return;
    for (int32_t start = 0; start < count; start += 256) {
        int32_t end = start + 256 < count ? start + 256 : count;
        vf sum = vf_set(0);
        for (int32_t c = start; c < end; c += 16) {
            vf x = load_row(p + c, end - c, -INFINITY) - vf_set(maximum);
            sum += vf_select(x > vf_set(-87.0f), vf_exp(x), vf_set(0));  // false for NaN
        }
        partial->sum += (double)vf_sum(sum);
    }
}

static void logits_block_greater(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const logits_work *work = context;
    int32_t first = item * work->block;
    int32_t count = work->count - first < work->block ? work->count - first : work->block;
    vi greater = {0};
    for (int32_t c = 0; c < count; c += 16)
        greater -= load_row(work->logits + first + c, count - c, NAN) > vf_set(work->value);
    int32_t total = 0;
    for (int i = 0; i < 16; i++) total += greater[i];
    work->partials[item].index = total;
}

// --- The k largest: a heap with the worst of them at its root, in the caller's arrays ----------------------------

// Whether a comes after b in "largest first, the lower id first among equals, NaN last".
INLINE bool ranks_below(float a, int32_t a_id, float b, int32_t b_id) {
    if (a < b) return true;
    if (a > b) return false;
    bool a_nan = a != a, b_nan = b != b;
    if (a_nan != b_nan) return a_nan;
    return a_id > b_id;
}

// Lets (value, id) sink from the root to its place in a heap of `count`.
static void heap_sink(float *values, int32_t *ids, int32_t count, float value, int32_t id) {
    int32_t at = 0;
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && ranks_below(values[child + 1], ids[child + 1], values[child], ids[child])) child++;
        if (!ranks_below(values[child], ids[child], value, id)) break;
        values[at] = values[child];
        ids[at] = ids[child];
        at = child;
    }
    values[at] = value;
    ids[at] = id;
}

static void heap_rise(float *values, int32_t *ids, int32_t at, float value, int32_t id) {
    while (at > 0) {
        int32_t parent = (at - 1) / 2;
        if (!ranks_below(value, id, values[parent], ids[parent])) break;
        values[at] = values[parent];
        ids[at] = ids[parent];
        at = parent;
    }
    values[at] = value;
    ids[at] = id;
}

static void top_logits(void *context, int32_t item, int32_t thread) {
    (void)item, (void)thread;
    const top_logits_work *work = context;
    const float *logits = work->logits;
    float *values = work->values;
    int32_t *ids = work->ids, k = work->k;
    for (int32_t i = 0; i < k; i++) heap_rise(values, ids, i, logits[i], i);
    for (int32_t c = k; c < work->count; c += 16) {
        vf v = load_row(logits + c, work->count - c, NAN);
        uint32_t candidates = mask_bits(~(v <= vf_set(values[0])));  // true when either is NaN
        if (work->count - c < 16) candidates &= (1u << (work->count - c)) - 1;
        for (; candidates; candidates &= candidates - 1) {
            int32_t id = c + __builtin_ctz(candidates);
            if (ranks_below(values[0], ids[0], logits[id], id)) heap_sink(values, ids, k, logits[id], id);
        }
    }
    for (int32_t left = k - 1; left > 0; left--) {  // heap sort: the worst goes last
        float value = values[left];
        int32_t id = ids[left];
        values[left] = values[0];
        ids[left] = ids[0];
        heap_sink(values, ids, left, value, id);
    }
}

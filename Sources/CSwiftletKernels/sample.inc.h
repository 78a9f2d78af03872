// sample.inc.h: draws one token from a row of logits, without sorting. See level.inc.h.
//
// The row's weights exp((logit - maximum) / temperature) go to its scratch; min_p, top_k and top_p set those they
// drop to zero; then one uniform number picks from what is left, walking up the ids. A cut by rank or by mass is
// found by three histograms over ten bits of the weights' float32 representation each, which order as the weights.
// Invariant: a token of weight zero is never returned unless every logit is -inf or NaN.

enum { BINS = 1024, SAMPLE_BLOCKS = 4096, SMALLEST_BLOCK = 256, GROUPS = 8 };

typedef struct {
    double mass[BINS];
    int32_t count[BINS];
    double blocks[SAMPLE_BLOCKS];  // sums of weights, by blocks of ids
} sample_scratch;

// What a cut keeps: weights whose bits are above `key`, and of those equal to it the first `ties`.
typedef struct {
    uint32_t key;
    int32_t ties;
} sample_cut;

static void fill_weights(const swiftlet_sample_row *row, float maximum) {
    vf temperature = vf_set(row->temperature), least = vf_set(row->min_p < 1.0f ? row->min_p : 1.0f);
    for (int32_t c = 0; c < row->count; c += 16) {
        int32_t n = row->count - c;
        vf x = (load_row(row->logits + c, n, -INFINITY) - vf_set(maximum)) / temperature;
        vf w = vf_exp(x);
        w = vf_select((x > vf_set(-87.0f)) & (w >= least), w, vf_set(0));  // zero for NaN
        vf_store_first(row->scratch + c, w, n < 16 ? n : 16);
    }
}

// Sums the weights by blocks in one fixed order; returns the total.
static double sum_blocks(const float *weights, int32_t count, int32_t block, double *blocks) {
    double total = 0;
    for (int32_t first = 0; first < count; first += block) {
        int32_t end = count - first < block ? count : first + block;
        vf sum = vf_set(0);
        for (int32_t c = first; c < end; c += 16) sum += load_row(weights + c, end - c, 0);
        blocks[first / block] = (double)vf_sum(sum);
        total += blocks[first / block];
    }
    return total;
}

// Counts and adds the weights >= least (> 0) whose bits above `shift + 10` are `prefix`.
static void fill_histogram(sample_scratch *scratch, const float *weights, int32_t count, float least, int32_t shift,
                           uint32_t prefix) {
    memset(scratch->mass, 0, sizeof(scratch->mass));
    memset(scratch->count, 0, sizeof(scratch->count));
    for (int32_t c = 0; c < count; c += 16) {
        vf w = load_row(weights + c, count - c, 0);
        vi inside = (w >= vf_set(least)) & (vi)(((vw)w >> (uint32_t)(shift + 10)) == vw_set(prefix));
        for (uint32_t bits = mask_bits(inside); bits; bits &= bits - 1) {
            float weight = weights[c + __builtin_ctz(bits)];
            uint32_t bin = (scalar_bits(weight) >> shift) % BINS;
            scratch->mass[bin] += (double)weight;
            scratch->count[bin]++;
        }
    }
}

// The cut that keeps the largest weights until there are `limit` of them or their sum reaches `target`, whichever
// comes first; the one that reaches it is kept. Weights below `least` are known not to be needed.
static sample_cut find_cut(sample_scratch *scratch, const float *weights, int32_t count, float least, int32_t limit,
                           double target) {
    int32_t taken = 0;
    double mass = 0;
    uint32_t key = 0;
    int32_t bin = 0;
    for (int32_t shift = 20; shift >= 0; shift -= 10) {
        fill_histogram(scratch, weights, count, least, shift, key);
        int32_t lowest = -1;  // the last bin with anything in it
        for (bin = BINS - 1; bin >= 0; bin--) {
            int32_t inside = scratch->count[bin];
            if (inside == 0) continue;
            lowest = bin;
            if (taken + inside >= limit || mass + scratch->mass[bin] >= target) break;
            taken += inside;
            mass += scratch->mass[bin];
        }
        if (bin < 0 && shift == 20) return (sample_cut){0, 0};  // nothing reaches the limits: all are kept
        if (bin < 0) {  // rounding: the bins' sums fall short of the sum of all; the crossing is in the last one
            bin = lowest;
            taken -= scratch->count[bin];
            mass -= scratch->mass[bin];
        }
        key = key << 10 | (uint32_t)bin;
    }
    double needed = ceil((target - mass) / (double)scalar_from_bits(key));
    int32_t ties = scratch->count[bin];
    if (needed < (double)ties) ties = needed < 1 ? 1 : (int32_t)needed;
    if (ties > limit - taken) ties = limit - taken;
    return (sample_cut){key, ties};
}

static void apply_cut(float *weights, int32_t count, sample_cut cut) {
    for (int32_t c = 0; c < count; c += 16) {
        int32_t n = count - c < 16 ? count - c : 16;
        vf w = load_row(weights + c, n, 0);
        vi kept = (vi)((vw)w > vw_set(cut.key));
        uint32_t equal = mask_bits((vi)((vw)w == vw_set(cut.key)));
        vf_store_first(weights + c, vf_select(kept, w, vf_set(0)), n);
        for (; equal && cut.ties > 0; equal &= equal - 1, cut.ties--)
            weights[c + __builtin_ctz(equal)] = scalar_from_bits(cut.key);
    }
}

// A lower bound of the k-th largest weight: the k-th largest of the maxima of GROUPS x 16 disjoint sets.
static float bound_of_rank(const float *weights, int32_t count, int32_t k) {
    if (k > GROUPS * 16) return FLT_MIN;
    vf groups[GROUPS];
    for (int j = 0; j < GROUPS; j++) groups[j] = vf_set(0);
    int32_t c = 0;
    for (; c + GROUPS * 16 <= count; c += GROUPS * 16)
        for (int j = 0; j < GROUPS; j++) groups[j] = vf_max(vf_load(weights + c + 16 * j), groups[j]);
    float sorted[GROUPS * 16];  // descending
    for (int32_t i = 0; i < GROUPS * 16; i++) {
        float value = ((const float *)groups)[i];
        int32_t at = i;
        for (; at > 0 && sorted[at - 1] < value; at--) sorted[at] = sorted[at - 1];
        sorted[at] = value;
    }
    return sorted[k - 1] > FLT_MIN ? sorted[k - 1] : FLT_MIN;
}

// The first token at which the running sum exceeds uniform * total.
static int32_t pick(const float *weights, int32_t count, int32_t block, const double *blocks, double total,
                    float uniform) {
    double target = uniform > 0 ? (uniform < 1 ? (double)uniform : 1 - 0x1p-24) * total : 0;
    double sum = 0;
    int32_t first = 0, last = -1;
    for (; first + block < count && sum + blocks[first / block] <= target; first += block) sum += blocks[first / block];
    for (int32_t i = first; i < count && i - first < block; i++) {
        if (!(weights[i] > 0)) continue;
        last = i;
        sum += (double)weights[i];
        if (sum > target) return i;
    }
    // Rounding: the block's tokens add up to a little less than its sum.
    for (int32_t i = first; last < 0 && i > 0; i--)
        if (weights[i - 1] > 0) last = i - 1;
    return last;
}

static int32_t sample_row(const swiftlet_sample_row *row, sample_scratch *scratch) {
    int32_t count = row->count;
    float maximum = row_maximum(row->logits, count);
    if (!(row->temperature > 0) || !(maximum > -INFINITY && maximum < INFINITY)) {
        int32_t best = row_index(row->logits, count, maximum);
        return best < 0 ? 0 : best;
    }
    int32_t block = swiftlet_ceil_div(swiftlet_ceil_div(count, SAMPLE_BLOCKS), 16) * 16;
    if (block < SMALLEST_BLOCK) block = SMALLEST_BLOCK;
    float *weights = row->scratch;
    fill_weights(row, maximum);
    if (row->top_k > 0 && row->top_k < count) {
        float least = bound_of_rank(weights, count, row->top_k);
        apply_cut(weights, count, find_cut(scratch, weights, count, least, row->top_k, INFINITY));
    }
    double total = sum_blocks(weights, count, block, scratch->blocks);
    if (row->top_p < 1) {
        // Weights below this add up to less than half of what top_p leaves out.
        double least = 0.5 * (1 - (double)row->top_p) * total / count;
        sample_cut cut = find_cut(scratch, weights, count, least > (double)FLT_MIN ? (float)least : FLT_MIN, INT32_MAX,
                                  (double)row->top_p * total);
        apply_cut(weights, count, cut);
        total = sum_blocks(weights, count, block, scratch->blocks);
    }
    return pick(weights, count, block, scratch->blocks, total, row->uniform);
}

static void sample(void *context, int32_t item, int32_t thread) {
    const sample_work *work = context;
    work->rows[item].token = sample_row(&work->rows[item], swiftlet_scratch(work->cpu, thread));
}

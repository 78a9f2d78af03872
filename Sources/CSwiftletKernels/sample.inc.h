// sample.inc.h: draws one token from a row of logits, without sorting. See level.inc.h.
//
// A token's weight is exp((logit - maximum) / temperature); min_p, top_k and top_p set those they drop to zero; then one
// uniform number picks from what is left, walking up the ids. Where nothing is cut, only sums of blocks are kept and one
// block's weights are computed again; a cut needs all of them, in the row's scratch. A cut by rank (top_k, over the
// logits) or by mass (top_p, over the weights) is found by three histograms over the bits of keys that order as the
// values do. Where a bound is known that few values reach, those are gathered first, and the rest is done on them.
// Invariant: a token of weight zero is never returned unless every logit is -inf or NaN.

enum { BINS = 2048, KEY_BITS = 32, SAMPLE_BLOCKS = 4096, SMALLEST_BLOCK = 256, GROUPS = 8, GATHERED = 16384 };

typedef struct {
    double mass[BINS];
    int32_t count[BINS];
    double blocks[SAMPLE_BLOCKS];  // sums of weights, by blocks of ids
    float values[GATHERED];        // logits or weights that a cut may keep, when they are few
    int32_t ids[GATHERED];         // theirs
} sample_scratch;

// What a cut keeps: keys above `key`, and of those equal to it the first `ties`.
typedef struct {
    uint32_t key;
    int32_t ties;
} sample_cut;

// Unsigned integers that order as the floats do; NaN comes last, with -inf and everything that must not be taken.
INLINE vw order_keys(vf x) {
    vw bits = (vw)(x + vf_set(0));  // -0 becomes +0
    vw keys = bits ^ ((vw)((vi)bits >> 31) | vw_set(0x80000000u));
    return keys & (vw)(x > vf_set(-INFINITY));
}

// The keys a cut looks at: the logits' order for a cut by rank, the weights' for one by mass.
INLINE vw row_keys(const swiftlet_sample_row *row, bool by_mass, int32_t at) {
    return order_keys(load_row((by_mass ? row->scratch : row->logits) + at, row->count - at, -INFINITY));
}

// The weights of tokens at..<at + 16; zero behind the last one.
INLINE vf weights_at(const swiftlet_sample_row *row, float maximum, int32_t at) {
    vf x = load_row(row->logits + at, row->count - at, -INFINITY) - vf_set(maximum);
    if (row->temperature != 1.0f) x = x / vf_set(row->temperature);
    vf w = vf_exp(x);
    vf least = vf_set(row->min_p < 1.0f ? row->min_p : 1.0f);
    return vf_select((x > vf_set(-87.0f)) & (w >= least), w, vf_set(0));  // zero for NaN
}

static void fill_weights(const swiftlet_sample_row *row, float maximum, int32_t first, int32_t end) {
    for (int32_t c = first; c < end; c += 16)
        vf_store_first(row->scratch + c, weights_at(row, maximum, c), end - c < 16 ? end - c : 16);
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

// The same sums, bit for bit, of weights that nobody stores.
static double sum_weights(const swiftlet_sample_row *row, float maximum, int32_t block, double *blocks) {
    double total = 0;
    for (int32_t first = 0; first < row->count; first += block) {
        int32_t end = row->count - first < block ? row->count : first + block;
        vf sum = vf_set(0);
        for (int32_t c = first; c < end; c += 16) sum += weights_at(row, maximum, c);
        blocks[first / block] = (double)vf_sum(sum);
        total += blocks[first / block];
    }
    return total;
}

// Counts the keys >= least whose bits from `top` up are `prefix`, by their bits from `shift` up to `top`, and adds up
// their weights when the cut is by mass.
static void fill_histogram(sample_scratch *scratch, const swiftlet_sample_row *row, bool by_mass, uint32_t least,
                           uint32_t shift, uint32_t top, uint32_t prefix) {
    memset(scratch->mass, 0, sizeof(scratch->mass));
    memset(scratch->count, 0, sizeof(scratch->count));
    for (int32_t c = 0; c < row->count; c += 16) {
        vw keys = row_keys(row, by_mass, c);
        vi inside = (vi)(keys >= vw_set(least));
        if (top < KEY_BITS) inside &= (vi)((keys >> top) == vw_set(prefix));
        for (uint32_t bits = mask_bits(inside); bits; bits &= bits - 1) {
            int32_t lane = __builtin_ctz(bits);
            uint32_t bin = (keys[lane] >> shift) % (1u << (top - shift));
            scratch->count[bin]++;
            if (by_mass) scratch->mass[bin] += (double)row->scratch[c + lane];
        }
    }
}

// The cut that keeps the largest values until there are `limit` of them (by rank) or their weights add up to
// `target` (by mass); the one that reaches it is kept. Keys below `least` are known not to be needed.
static sample_cut find_cut(sample_scratch *scratch, const swiftlet_sample_row *row, bool by_mass, uint32_t least,
                           int32_t limit, double target) {
    static const uint32_t shifts[] = {21, 10, 0};
    int32_t taken = 0, bin = 0;
    double mass = 0;
    uint32_t key = 0, top = KEY_BITS;
    for (int level = 0; level < 3; level++) {
        fill_histogram(scratch, row, by_mass, least, shifts[level], top, key);
        int32_t lowest = -1;  // the last bin with anything in it
        for (bin = BINS - 1; bin >= 0; bin--) {
            int32_t inside = scratch->count[bin];
            if (inside == 0) continue;
            lowest = bin;
            if (by_mass ? mass + scratch->mass[bin] >= target : taken + inside >= limit) break;
            taken += inside;
            mass += scratch->mass[bin];
        }
        if (bin < 0 && level == 0) return (sample_cut){0, 0};  // never reached: all are kept
        if (bin < 0) {  // rounding: the bins' sums fall short of their sum; the crossing is in the last one
            bin = lowest;
            mass -= scratch->mass[bin];
        }
        key = key << (top - shifts[level]) | (uint32_t)bin;
        top = shifts[level];
    }
    if (!by_mass) return (sample_cut){key, limit - taken};
    double needed = ceil((target - mass) * scratch->count[bin] / scratch->mass[bin]);
    int32_t ties = scratch->count[bin];
    if (needed < (double)ties) ties = needed < 1 ? 1 : (int32_t)needed;
    return (sample_cut){key, ties};
}

static void apply_cut(const swiftlet_sample_row *row, bool by_mass, sample_cut cut) {
    for (int32_t c = 0; c < row->count; c += 16) {
        int32_t n = row->count - c < 16 ? row->count - c : 16;
        vw keys = row_keys(row, by_mass, c);
        vi kept = (vi)(keys > vw_set(cut.key));
        uint32_t equal = mask_bits((vi)(keys == vw_set(cut.key)));
        for (; equal && cut.ties > 0; equal &= equal - 1, cut.ties--) kept[__builtin_ctz(equal)] = -1;
        vf_store_first(row->scratch + c, vf_select(kept, load_row(row->scratch + c, n, 0), vf_set(0)), n);
    }
}

// A key not above the k-th largest: the k-th largest of the maxima of GROUPS x 16 disjoint sets of logits.
static uint32_t bound_of_rank(const swiftlet_sample_row *row, int32_t k) {
    if (k > GROUPS * 16) return 1;  // unknown
    vw groups[GROUPS] = {0};
    for (int32_t c = 0; c + GROUPS * 16 <= row->count; c += GROUPS * 16)
        for (int j = 0; j < GROUPS; j++) {
            vw keys = row_keys(row, false, c + 16 * j);
            groups[j] = __builtin_elementwise_max(keys, groups[j]);
        }
    uint32_t sorted[GROUPS * 16];  // descending
    for (int32_t i = 0; i < GROUPS * 16; i++) {
        uint32_t value = groups[i / 16][i % 16];
        int32_t at = i;
        for (; at > 0 && sorted[at - 1] < value; at--) sorted[at] = sorted[at - 1];
        sorted[at] = value;
    }
    return sorted[k - 1] > 1 ? sorted[k - 1] : 1;
}

// The first token of the block in which the running sum exceeds `target`; `before` becomes the sum up to it.
static int32_t find_block(int32_t count, int32_t block, const double *blocks, double target, double *before) {
    int32_t first = 0;
    for (*before = 0; first + block < count && *before + blocks[first / block] <= target; first += block)
        *before += blocks[first / block];
    return first;
}

// The first token at which the running sum exceeds `target`; the last of the block with a weight when rounding makes
// its tokens add up to a little less than its sum; -1 when none has.
static int32_t pick_within(const float *weights, int32_t first, int32_t end, double target, double sum) {
    int32_t last = -1;
    for (int32_t i = first; i < end; i++) {
        if (!(weights[i] > 0)) continue;
        last = i;
        sum += (double)weights[i];
        if (sum > target) return i;
    }
    return last;
}

// Picks from a row's weights; where they are not stored yet (`fills`), stores those it looks at.
static int32_t pick(const swiftlet_sample_row *row, bool fills, float maximum, int32_t block, const double *blocks,
                    double total) {
    float uniform = row->uniform;
    double target = uniform > 0 ? (uniform < 1 ? (double)uniform : 1 - 0x1p-24) * total : 0, before;
    int32_t first = find_block(row->count, block, blocks, target, &before);
    int32_t end = row->count - first < block ? row->count : first + block;
    if (fills) fill_weights(row, maximum, first, end);
    int32_t token = pick_within(row->scratch, first, end, target, before);
    if (token >= 0) return token;
    if (fills) fill_weights(row, maximum, 0, first);
    while (first > 0 && !(row->scratch[first - 1] > 0)) first--;
    return first - 1;
}

// Copies the values whose keys reach `least`, in the order of their ids, to where they are cheap to look at again.
// Returns how many there are, -1 when they don't fit.
static int32_t gather(const swiftlet_sample_row *row, bool by_mass, uint32_t least, sample_scratch *scratch) {
    const float *values = by_mass ? row->scratch : row->logits;
    int32_t count = 0;
    for (int32_t c = 0; c < row->count; c += 16) {
        uint32_t bits = mask_bits((vi)(row_keys(row, by_mass, c) >= vw_set(least)));
        if (bits != 0 && count + 16 > GATHERED) return -1;
        for (; bits; bits &= bits - 1, count++) {
            scratch->ids[count] = c + __builtin_ctz(bits);
            scratch->values[count] = values[scratch->ids[count]];
        }
    }
    return count;
}

// Cuts by top_p, to the gathered weights if they are few; then row->scratch and row->count are theirs.
static void cut_by_mass(swiftlet_sample_row *row, double total, bool gathers, sample_scratch *scratch,
                        bool *gathered) {
    // Weights below this add up to less than half of what top_p leaves out; none is between 0 and FLT_MIN.
    float least = (float)(0.5 * (1 - (double)row->top_p) * total / row->count);
    uint32_t least_key = scalar_bits(least > FLT_MIN ? least : FLT_MIN) | 0x80000000u;
    int32_t few = gathers ? gather(row, true, least_key, scratch) : -1;
    if (few > 0) {
        row->scratch = scratch->values;
        row->count = few;
        *gathered = true;
    }
    apply_cut(row, true, find_cut(scratch, row, true, least_key, 0, (double)row->top_p * total));
}

static int32_t sample_row(swiftlet_sample_row row, sample_scratch *scratch) {
    float maximum = row_maximum(row.logits, row.count);
    if (!(row.temperature > 0) || !(maximum > -INFINITY && maximum < INFINITY)) {
        int32_t best = row_index(row.logits, row.count, maximum);
        return best < 0 ? 0 : best;
    }
    bool by_rank = row.top_k > 0 && row.top_k < row.count, gathered = false;
    uint32_t bound = by_rank ? bound_of_rank(&row, row.top_k) : 0;
    int32_t few = bound > 1 ? gather(&row, false, bound, scratch) : -1;
    if (few > 0) {
        row.logits = scratch->values;
        row.count = few;
        gathered = true;
    }
    bool cuts = by_rank || row.top_p < 1;
    if (cuts) fill_weights(&row, maximum, 0, row.count);
    if (by_rank && row.top_k < row.count)
        apply_cut(&row, false, find_cut(scratch, &row, false, bound, row.top_k, 0));
    int32_t block = swiftlet_ceil_div(swiftlet_ceil_div(row.count, SAMPLE_BLOCKS), 16) * 16;
    if (block < SMALLEST_BLOCK) block = SMALLEST_BLOCK;
    double total = cuts ? sum_blocks(row.scratch, row.count, block, scratch->blocks)
                        : sum_weights(&row, maximum, block, scratch->blocks);
    if (row.top_p < 1) {
        cut_by_mass(&row, total, !gathered, scratch, &gathered);
        total = sum_blocks(row.scratch, row.count, block, scratch->blocks);
    }
    int32_t token = pick(&row, !cuts, maximum, block, scratch->blocks, total);
    return gathered && token >= 0 ? scratch->ids[token] : token;
}

static void sample(void *context, int32_t item, int32_t thread) {
    const sample_work *work = context;
    work->rows[item].token = sample_row(work->rows[item], swiftlet_scratch(work->cpu, thread));
}

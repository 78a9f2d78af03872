// sample.cu: chooses a token for each row of logits, by the rule of the CPU's sample.inc.h, without sorting.
//
// A token's weight is exp((logit - maximum) / temperature); min_p, top_k and top_p set those they drop to zero; then one
// uniform number picks from what is left, walking up the ids. A cut by rank (top_k, over the logits) or by mass (top_p,
// over the weights) is found by three histograms over the bits of keys that order as the values do.
// Invariant: weights are added up as integers (multiples of 2^-44), so sums are exact and the result does not depend on
// the order of threads; a token of weight zero is never chosen unless no logit is finite.
#include "device.cuh"

enum : int {
    SAMPLE_THREADS = 1024,
    SAMPLE_WARPS = SAMPLE_THREADS / WARP,
    BINS = 2048,
    LANE_BINS = BINS / WARP
};

struct SampleShared {
    u64 mass[BINS];
    unsigned count[BINS];
    u64 sums[SAMPLE_WARPS];
    unsigned key, ties;
    int token;
};

/// Unsigned integers that order as the floats do; 0 for NaN.
__device__ inline unsigned order_key(float x) {
    unsigned bits = __float_as_uint(x + 0.0f);  // -0 becomes +0
    return x == x ? bits ^ ((unsigned)((int)bits >> 31) | 0x80000000u) : 0u;
}

/// A row, and what is known of it.
struct SampleRow {
    const float *logits;  // [count]
    float *weights;       // [count], when there is a cut
    int count;
    float maximum, temperature, least;
    bool is_stored;  // the weights are

    /// A weight before any cut.
    __device__ float raw(int i) const {
        float x = logits[i] - maximum;
        if (temperature != 1.0f) x = x / temperature;
        float w = expf(x);
        return x > -87.0f && w >= least ? w : 0.0f;  // 0 for NaN
    }
    __device__ float weight(int i) const { return is_stored ? weights[i] : raw(i); }
    __device__ u64 mass(int i) const { return __float2ull_rn(weight(i) * 0x1p44f); }
    /// What a cut orders by; 0: not to be taken.
    __device__ unsigned key(bool by_mass, int i) const {
        if (by_mass) return weights[i] > 0 ? order_key(weights[i]) : 0u;
        return logits[i] > -INFINITE ? order_key(logits[i]) : 0u;
    }
};

__device__ inline u64 warp_sum(u64 x) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

/// The id of the largest logit, the lowest among equals; NaN never wins. For all threads.
__device__ inline int index_of_maximum(const float *logits, int count, u64 *scratch) {
    u64 best = 0;
    for (int i = (int)threadIdx.x; i < count; i += SAMPLE_THREADS) {
        u64 candidate = (u64)order_key(logits[i]) << 32 | (u64)(~(unsigned)i);
        best = candidate > best ? candidate : best;
    }
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        u64 other = __shfl_xor_sync(ALL_LANES, best, distance);
        best = other > best ? other : best;
    }
    if (lane_index() == 0) scratch[warp_index()] = best;
    __syncthreads();
    best = 0;
    for (int w = 0; w < SAMPLE_WARPS; w++) best = scratch[w] > best ? scratch[w] : best;
    __syncthreads();
    return best == 0 ? 0 : (int)~(unsigned)best;
}

// --- Sums --------------------------------------------------------------------------------------------------------

/// Ids that a warp has of `count`: neighbours, in whole steps of a warp.
__device__ inline int segment_of(int count) {
    return (count + SAMPLE_THREADS - 1) / SAMPLE_THREADS * WARP;
}

/// shared.sums[w] = the mass of warp w's segment of first..<end; returns the sum of all.
__device__ inline u64 sum_segments(const SampleRow &row, int first, int end, SampleShared &shared) {
    int segment = segment_of(end - first), from = first + warp_index() * segment;
    int to = from + segment < end ? from + segment : end;
    u64 sum = 0, total = 0;
    for (int i = from + lane_index(); i < to; i += WARP) sum += row.mass(i);
    sum = warp_sum(sum);
    __syncthreads();  // earlier sums have been read
    if (lane_index() == 0) shared.sums[warp_index()] = sum;
    __syncthreads();
    for (int w = 0; w < SAMPLE_WARPS; w++) total += shared.sums[w];
    return total;
}

/// The first of first..<end at which the running mass exceeds `target`, by one warp. There is one.
__device__ inline int walk(const SampleRow &row, int first, int end, u64 target) {
    for (; first < end; first += WARP) {
        int i = first + lane_index();
        u64 sum = i < end ? row.mass(i) : 0;
#pragma unroll
        for (int distance = 1; distance < WARP; distance *= 2) {
            u64 before = __shfl_up_sync(ALL_LANES, sum, distance);
            if (lane_index() >= distance) sum += before;
        }
        unsigned exceeds = __ballot_sync(ALL_LANES, sum > target);
        if (exceeds) return first + __ffs((int)exceeds) - 1;
        target -= __shfl_sync(ALL_LANES, sum, WARP - 1);
    }
    return end - 1;
}

/// The id that `uniform` points at; for thread 0.
__device__ inline int pick(const SampleRow &row, float uniform, SampleShared &shared) {
    int first = 0, end = row.count;
    u64 total = sum_segments(row, first, end, shared);
    double share = uniform > 0 ? (uniform < 1 ? (double)uniform : 1 - 0x1p-24) : 0;
    u64 target = (u64)(share * (double)total);
    while (true) {
        int segment = segment_of(end - first), w = 0;
        for (; w + 1 < SAMPLE_WARPS && shared.sums[w] <= target; w++) target -= shared.sums[w];
        first += w * segment;
        end = first + segment < end ? first + segment : end;
        if (segment <= 8 * WARP) break;
        sum_segments(row, first, end, shared);
    }
    return warp_index() == 0 ? walk(row, first, end, target) : 0;
}

// --- Cuts --------------------------------------------------------------------------------------------------------

/// Counts the keys whose bits from `top` up are `prefix` by their bits from `shift` up to `top`, and adds up masses.
__device__ inline void fill_histogram(const SampleRow &row, bool by_mass, int shift, int top, unsigned prefix,
                                      SampleShared &shared) {
    for (int bin = (int)threadIdx.x; bin < BINS; bin += SAMPLE_THREADS) shared.count[bin] = 0, shared.mass[bin] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < row.count; i += SAMPLE_THREADS) {
        unsigned key = row.key(by_mass, i);
        if (key == 0 || (top < 32 && key >> top != prefix)) continue;
        unsigned bin = (key >> shift) % (1u << (top - shift));
        atomicAdd(&shared.count[bin], 1u);
        if (by_mass) atomicAdd(&shared.mass[bin], row.mass(i));
    }
    __syncthreads();
}

/// From the highest bin down, the first at which `taken` reaches `target`; -1 when none does. `taken` becomes what is in
/// the bins above it. By one warp.
__device__ inline int find_bin(bool by_mass, u64 target, u64 &taken, const SampleShared &shared) {
    int high = BINS - 1 - lane_index() * LANE_BINS;  // this lane's bins, downwards
    u64 sum = 0;
    for (int i = 0; i < LANE_BINS; i++) {
        int bin = high - (i + lane_index()) % LANE_BINS;  // lanes read different banks
        sum += by_mass ? shared.mass[bin] : (u64)shared.count[bin];
    }
    u64 through = sum;  // of this lane's bins and all above
#pragma unroll
    for (int distance = 1; distance < WARP; distance *= 2) {
        u64 above = __shfl_up_sync(ALL_LANES, through, distance);
        if (lane_index() >= distance) through += above;
    }
    unsigned reached = __ballot_sync(ALL_LANES, taken + through >= target);
    if (!reached) return -1;
    int lane = __ffs((int)reached) - 1;
    taken += __shfl_sync(ALL_LANES, through - sum, lane);
    for (int bin = BINS - 1 - lane * LANE_BINS;; bin--) {
        u64 inside = by_mass ? shared.mass[bin] : (u64)shared.count[bin];
        if (taken + inside >= target) return bin;
        taken += inside;
    }
}

/// shared.key and shared.ties: the cut that keeps the largest keys until there are `target` of them, or until their mass
/// is `target`; the one that reaches it is kept. Keys above `key` stay, and of those equal to it the first `ties`.
__device__ inline void find_cut(const SampleRow &row, bool by_mass, u64 target, SampleShared &shared) {
    const int shifts[] = {21, 10, 0};
    u64 taken = 0;
    unsigned key = 0;
    int top = 32;
    for (int level = 0; level < 3; level++) {
        fill_histogram(row, by_mass, shifts[level], top, key, shared);
        if (warp_index() == 0) {
            int bin = find_bin(by_mass, target, taken, shared);
            if (lane_index() == 0) {
                u64 inside = bin < 0 ? 0 : by_mass ? shared.mass[bin] : shared.count[bin];
                u64 count = bin < 0 ? 0 : shared.count[bin];
                u64 needed = target - taken;  // of the equal ones; by mass, each has inside / count
                if (by_mass && count > 0 && inside >= count) needed = (needed + inside / count - 1) / (inside / count);
                shared.ties = (unsigned)(needed < 1 ? 1 : needed < count ? needed : count);
                shared.key = bin < 0 ? 0 : key << (top - shifts[level]) | (unsigned)bin;
            }
        }
        __syncthreads();
        key = shared.key;
        top = shifts[level];
        if (key == 0) return;  // never reached: all are kept
    }
}

/// Sets the weights of what the cut drops to zero.
__device__ inline void apply_cut(SampleRow &row, bool by_mass, SampleShared &shared) {
    int segment = segment_of(row.count), from = warp_index() * segment;
    int to = from + segment < row.count ? from + segment : row.count;
    unsigned key = shared.key, ties = shared.ties, before = 0;
    u64 equal = 0;
    for (int i = from + lane_index(); i < to; i += WARP) equal += row.key(by_mass, i) == key;
    equal = warp_sum(equal);
    if (lane_index() == 0) shared.sums[warp_index()] = equal;
    __syncthreads();
    for (int w = 0; w < warp_index(); w++) before += (unsigned)shared.sums[w];
    for (int first = from; first < to; first += WARP) {
        int i = first + lane_index();
        unsigned own = i < to ? row.key(by_mass, i) : 0u;
        unsigned equals = __ballot_sync(ALL_LANES, i < to && own == key);
        unsigned place = before + (unsigned)__popc(equals & ((1u << lane_index()) - 1u));
        if (i < to && !(own > key || (own == key && place < ties))) row.weights[i] = 0;
        before += (unsigned)__popc(equals);
    }
    __syncthreads();
}

/// tokens[r] for logits [rows, vocabulary], by temperature (0: the largest), min_p (0: off), top_k (0: off), top_p
/// (1: off) and a number of [0, 1), all [rows]. scratch [rows, vocabulary] is written where top_k or top_p cut. The
/// vocabulary is at most 2^18. Grid rows.
extern "C" __global__ void __launch_bounds__(SAMPLE_THREADS, 1)
    sample_rows(const float *logits, int vocabulary, const float *temperatures, const int *top_k, const float *top_p,
                const float *min_p, const float *uniform, float *scratch, int *tokens) {
    __shared__ SampleShared shared;
    int r = (int)blockIdx.x;
    SampleRow row;
    row.logits = logits + (size_t)r * (size_t)vocabulary;
    row.weights = scratch + (size_t)r * (size_t)vocabulary;
    row.count = vocabulary;
    row.temperature = temperatures[r];
    row.least = fminf(min_p[r], 1.0f);
    row.is_stored = false;
    int best = index_of_maximum(row.logits, vocabulary, shared.sums);
    row.maximum = row.logits[best];
    if (!(row.temperature > 0) || !(row.maximum > -INFINITE && row.maximum < INFINITE)) {
        if (threadIdx.x == 0) tokens[r] = best;
        return;
    }
    bool by_rank = top_k[r] > 0 && top_k[r] < vocabulary, by_mass = top_p[r] < 1;
    if (by_rank || by_mass) {
        for (int i = (int)threadIdx.x; i < vocabulary; i += SAMPLE_THREADS) row.weights[i] = row.raw(i);
        row.is_stored = true;
        __syncthreads();
    }
    if (by_rank) {
        find_cut(row, false, (u64)top_k[r], shared);
        if (shared.key != 0) apply_cut(row, false, shared);
    }
    if (by_mass) {
        u64 total = sum_segments(row, 0, vocabulary, shared);
        u64 target = (u64)ceil((double)top_p[r] * (double)total);
        find_cut(row, true, target > 0 ? target : 1, shared);
        if (shared.key != 0) apply_cut(row, true, shared);
    }
    int token = pick(row, uniform[r], shared);
    if (threadIdx.x == 0) tokens[r] = token;
}

// probe.inc.h: what the machine can do at this level at best: read memory, multiply in registers. See level.inc.h.
// Invariant: a result is stored where the compiler can't know that nobody looks, so that no work is left out.

static void probe_read(void *context, int32_t item, int32_t thread) {
    const probe_read_work *work = context;
    const uint32_t *words = (const uint32_t *)(work->memory + (size_t)(item % work->chunks) * PROBE_CHUNK_BYTES);
    vw seen[4] = {vw_set(0), vw_set(0), vw_set(0), vw_set(0)};
    for (size_t i = 0; i < PROBE_CHUNK_BYTES / 4; i += 64)
        for (size_t j = 0; j < 4; j++) {
            __builtin_prefetch(words + i + 16 * j + PROBE_AHEAD_BYTES / 4, 0, 2);
            seen[j] |= vw_load(words + i + 16 * j);
        }
    vw_store(swiftlet_scratch(work->cpu, thread), (seen[0] | seen[1]) | (seen[2] | seen[3]));
}

// One multiply-add of float32, or of as many values as an instruction takes of the other types.
INLINE vf probe_step_f32(vf sum, vw words) { return vf_fma(sum, (vf)words, vf_set(1)); }
#if HAS_INT16_DOT || !HAS_INT8_DOT
INLINE vf probe_step_int16(vf sum, vw words) { return dot_int16((vf)vw_set(1), sum, (vf)words); }
#endif
#if HAS_INT8_DOT
INLINE vf probe_step_int8(vf sum, vw words) { return dot_int8(sum, words, words); }
#else
#define probe_step_int8 probe_step_int16
#endif

// The accumulators of the register tile, each multiplied and added to again and again.
INLINE void probe_chains(const int32_t vectors, vf (*const step)(vf, vw), void *out) {
    vf sum[24];
    UNROLL
    for (int32_t j = 0; j < vectors; j++) sum[j] = vf_set((float)j);
    vw words = vw_set(0x3f003f00u);  // about 0.5, two times 0.5, or small integers
    memcpy(out, &words, sizeof(words));
    words = vw_load(out);
    for (int32_t round = 0; round < PROBE_ROUNDS; round++)
        UNROLL
        for (int32_t j = 0; j < vectors; j++) sum[j] = step(sum[j], words);
    UNROLL
    for (int32_t j = 0; j < vectors; j++) vf_store((float *)out + 16 * j, sum[j]);
}

static void probe_multiply_f32(void *context, int32_t item, int32_t thread) {
    (void)item;
    const probe_multiply_work *work = context;
    probe_chains(TILE_VECTORS_f32, probe_step_f32, swiftlet_scratch(work->cpu, thread));
}

static void probe_multiply_int8(void *context, int32_t item, int32_t thread) {
    (void)item;
    const probe_multiply_work *work = context;
    probe_chains(PROBE_VECTORS_int8, probe_step_int8, swiftlet_scratch(work->cpu, thread));
}

#if HAS_INT16_DOT
static void probe_multiply_int16(void *context, int32_t item, int32_t thread) {
    (void)item;
    const probe_multiply_work *work = context;
    probe_chains(PROBE_VECTORS_int8, probe_step_int16, swiftlet_scratch(work->cpu, thread));
}
#endif

#if defined(LEVEL_AVX512BF16)
INLINE vf probe_step_bf16(vf sum, vw words) { return dot_bf16(sum, words, words); }
static void probe_multiply_bf16(void *context, int32_t item, int32_t thread) {
    (void)item;
    const probe_multiply_work *work = context;
    probe_chains(TILE_VECTORS_bf16, probe_step_bf16, swiftlet_scratch(work->cpu, thread));
}
#endif

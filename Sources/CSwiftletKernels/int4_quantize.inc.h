// int4_quantize.inc.h: a group of weights to four bits: which scale, and which integers. See level.inc.h and int4.h.
//
// The value of largest magnitude goes to about -8, so that the scale may be negative and the sixteenth integer is used.
// Where exactly it goes is tried out; for given integers the scale of the least squared error is sum(w q) / sum(q q).
// Invariant: outputs are lanes and don't see each other; a group with a weight that is no number gets no number as its
// scale.

enum { INT4_TRIES = 6 };

// The integers nearest to w * inverse, in -8...7, as floats.
INLINE vf int4_nearest(vf w, vf inverse) {
    const vf round = vf_set(12582912.0f);  // 1.5 * 2^23
    vf q = (w * inverse + round) - round;
    q = vf_select(q < vf_set(7), q, vf_set(7));
    return vf_select(q > vf_set(-8), q, vf_set(-8));
}

INLINE vf int4_magnitude(vf w) { return (vf)((vw)w & vw_set(0x7fffffffu)); }
INLINE vf int4_inverse(vf scale) { return vf_select(scale == vf_set(0), vf_set(0), vf_set(1) / scale); }

// The scales of sixteen outputs: of those tried the one whose integers explain most of the weights' squares.
INLINE vf int4_search(const float *tile, int32_t columns) {
    vf extreme = vf_set(0), best = vf_set(0), most = vf_set(0), no_number = vf_set(0);
    for (int32_t c = 0; c < columns; c++) {
        vf w = vf_load(tile + 64 * c);
        extreme = vf_select(int4_magnitude(w) > int4_magnitude(extreme), w, extreme);
        no_number += w * vf_set(0);
    }
    for (int32_t try = 0; try < INT4_TRIES; try++) {
        vf inverse = int4_inverse(extreme) * vf_set(-7 - 0.5f * (float)try), products = vf_set(0), squares = vf_set(0);
        for (int32_t c = 0; c < columns; c++) {
            vf w = vf_load(tile + 64 * c), q = int4_nearest(w, inverse);
            products = vf_fma(w, q, products);
            squares = vf_fma(q, q, squares);
        }
        vf scale = products * int4_inverse(squares), explained = products * scale;
        vi better = explained > most;
        most = vf_select(better, explained, most);
        best = vf_select(better, scale, best);
    }
    return best + no_number;
}

static void quantize_int4(const float *tile, int32_t columns, int32_t lane, int32_t lanes, uint16_t *scales,
                          uint32_t *rows) {
    memset(rows, 0, (size_t)swiftlet_ceil_div(columns, 2) * INT4_ROW_BYTES);
    for (int32_t j = lane / 16; j <= (lane + lanes - 1) / 16; j++) {
        const float *weights = tile + 16 * j;
        vh rounded = bf16_narrow(int4_search(weights, columns));
        memcpy(scales + 16 * j, &rounded, sizeof(rounded));
        vf inverse = int4_inverse(bf16_widen(rounded));
        for (int32_t c = 0; c < columns; c++) {
            vf q = int4_nearest(vf_load(weights + 64 * c), inverse) + vf_set(12582912.0f + INT4_MIDDLE);
            vw nibble = ((vw)q & vw_set(15)) << (uint32_t)(4 * j + c % 2 * 16);
            vw_store(rows + 16 * (c / 2), vw_load(rows + 16 * (c / 2)) | nibble);
        }
    }
}

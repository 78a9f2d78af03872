// scalar.h: one value's conversions between float32, bfloat16 and float16, in plain C.
// Invariant: bfloat16 is rounded to nearest even and NaN stays NaN; the other directions are exact.

#pragma once

#include <stdint.h>
#include <string.h>

static inline float scalar_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint32_t scalar_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline uint16_t scalar_bf16(float x) {
    uint32_t bits = scalar_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

static inline float scalar_from_bf16(uint16_t x) { return scalar_from_bits((uint32_t)x << 16); }

static inline float scalar_from_f16(uint16_t half) {
    // The exponent is rebiased by a multiplication, which is exact for denormals too.
    uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    uint32_t bits = scalar_bits(scalar_from_bits(magnitude) * 0x1p112f);
    if ((half & 0x7c00u) == 0x7c00u) bits = magnitude | 0x7f800000u;
    return scalar_from_bits(bits | (uint32_t)(half & 0x8000u) << 16);
}

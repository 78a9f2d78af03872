// check_quantized.h: matrices of weights of four and eight bits for the checks.
//
// Owner: check_quantized.c. Invariant: `bytes` is the very memory that the kernels are given.
#pragma once

#include <stdio.h>

#include "check.h"

enum { INT8, INT4, FP8 };

typedef struct {
    int format, columns;
    int group;  // columns that share a scale; 0: all
    bool has_zeros, has_half_scales;
    // Made:
    int rows, layout;
    uint8_t *bytes;       // as the kernels take it
    uint8_t *integers;    // [rows, columns], or the bits of fp8
    float *values;        // [rows, columns], what they stand for
    uint8_t *zeros;       // [rows, groups]
    float *scales;        // [rows, groups]
    uint16_t *scale_bits; // [rows, groups], of int4
} quantized;

enum { QUANTIZED_SHAPES = 9 };
/// Formats, groups and widths that differ, without rows.
extern const quantized quantized_shapes[QUANTIZED_SHAPES];

/// A matrix of this shape with random weights.
quantized *make_quantized(check *c, quantized shape);
uint64_t device_quantized(check *c, const quantized *q);
/// As kernels have it in their names.
const char *format_name(int format);

// epilogue.cuh: what becomes of a product's sums. The numbers are the backend's.
//
// Invariant: the arithmetic is the same after a matrix-vector kernel and after cublasLt.
#pragma once

#include "device.cuh"

enum Epilogue : int {
    STORE_FLOAT = 0,    // float32
    STORE_ELEMENT = 1,  // the compute type
    ADD_FLOAT = 2,      // onto float32
    STORE_CAPPED = 3,   // float32, cap * tanh(y / cap)
    GATED_SILU = 4,     // the compute type, silu(gate) * up
    GATED_GELU = 5,     // the compute type, gelu(gate) * up
};

__device__ inline bool is_gated(int epilogue) { return epilogue >= GATED_SILU; }

__device__ inline float gated(int epilogue, float gate, float up) {
    return (epilogue == GATED_SILU ? silu(gate) : gelu(gate)) * up;
}

/// Element i of out becomes y, by an epilogue that is not gated.
__device__ inline void finish(int epilogue, float y, float cap, void *out, size_t i) {
    switch (epilogue) {
    case STORE_ELEMENT: store((element *)out + i, y); break;
    case ADD_FLOAT: ((float *)out)[i] += y; break;
    case STORE_CAPPED: ((float *)out)[i] = soft_capped(y, cap); break;
    default: ((float *)out)[i] = y;
    }
}

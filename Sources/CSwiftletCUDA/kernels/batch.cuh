// batch.cuh: a step's input as the engine lays it out (Engine/Batch.swift): one flat block of 32-bit integers, copied to
// the device once a step, from which kernels read all counts. So one graph serves every batch that fits its bucket.
//
// Invariant: row r of sequence s stands at position contexts[s] - (offsets[s + 1] - offsets[s]) + (r - offsets[s]).
#pragma once

#include "shapes.cuh"

struct Batch {
    const int *words;

    enum : int { HEADER = 8 };

    __device__ int tokens() const { return words[0]; }
    __device__ int sequences() const { return words[1]; }
    __device__ int logit_row_count() const { return words[2]; }
    __device__ int table_stride() const { return words[4]; }
    __device__ const int *ids() const { return words + HEADER; }                              // [tokens]
    __device__ const int *logit_rows() const { return words + HEADER + tokens(); }            // [logit rows]
    __device__ const int *query_offsets() const { return words + HEADER + 3 * tokens(); }     // [sequences + 1]
    __device__ const int *context_lengths() const { return query_offsets() + sequences() + 1; }  // [sequences]

    /// The numbers of a sequence's blocks.
    __device__ const int *table(int sequence) const {
        return context_lengths() + sequences() + (size_t)sequence * (size_t)table_stride();
    }
    __device__ int row_count(int sequence) const {
        return query_offsets()[sequence + 1] - query_offsets()[sequence];
    }
    /// The position of a sequence's first row of this step.
    __device__ int first_position(int sequence) const { return context_lengths()[sequence] - row_count(sequence); }
};

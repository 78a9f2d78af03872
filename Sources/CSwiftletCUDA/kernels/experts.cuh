// experts.cuh: which slots of which expert a block works on. Slots are sorted by expert, blocks are numbered without a table:
// expert e has the numbers from floor(its first slot / 64) + e on.
//
// Invariant: every slot is in one block's tile.
#pragma once

#include "device.cuh"

enum : int { SLOTS = 64 };  // of a block

/// What a block works on: slots first..<end of an expert.
struct ExpertTile {
    int expert, first, end;
};

/// False when this block has nothing to do.
__device__ inline bool find_tile(const int *starts, int experts, int number, ExpertTile &tile) {
    int low = 0, high = experts;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (starts[middle] / SLOTS + middle <= number) low = middle;
        else high = middle;
    }
    tile.expert = low;
    tile.first = starts[low] + (number - (starts[low] / SLOTS + low)) * SLOTS;
    tile.end = tile.first + SLOTS < starts[low + 1] ? tile.first + SLOTS : starts[low + 1];
    return tile.first < tile.end;
}

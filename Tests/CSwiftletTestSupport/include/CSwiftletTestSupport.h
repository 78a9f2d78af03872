// Counts heap allocations of the calling thread, by interposing malloc. For tests only.
#pragma once

#include <stdbool.h>

/// Whether allocations can be counted here (glibc).
bool swiftlet_can_count_allocations(void);
/// Starts counting this thread's allocations from zero.
void swiftlet_begin_counting_allocations(void);
/// Stops, and says how many there were.
long swiftlet_end_counting_allocations(void);

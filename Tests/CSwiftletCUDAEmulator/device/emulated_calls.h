// emulated_calls.h: what the emulated driver and the kernels that it compiles agree on.
//
// Invariant: included by both, so it includes nothing.
#pragma once

struct dim3 { unsigned x, y, z; };

struct swiftlet_emulated_thread { dim3 thread, block, block_size, grid_size; };

struct swiftlet_emulated_calls {
    /// Waits for all threads of the block; `line` has to be the same one for all.
    void (*barrier)(int line);
    /// Gives `size` bytes and returns what all lanes of the warp gave, 64 bytes apart, valid until the next call but
    /// one; `combine` is called once in between, when all are there.
    void *(*exchange)(int line, const void *value, int size, void (*combine)(void *slots));
    void (*copy_async)(void *shared, const void *global, int valid);
    void (*copy_async_commit)();
    void (*copy_async_wait)(int newer);
    void (*fail)(int status, const char *message);
};


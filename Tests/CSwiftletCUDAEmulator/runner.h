// runner.h: a kernel's block while it runs: its threads as fibers, and what they wait for.
//
// Owner: fibers.cpp. Invariant: a runner belongs to one OS thread; `escape` leads out of any fiber of it.
#pragma once

#include <sys/mman.h>

#include <csetjmp>

#include "emulator.h"

namespace emulator {

enum class State { ready, at_barrier, in_warp, done };

struct Copy {
    void *shared;
    const void *global;
    bool valid;
};

struct Fiber {
    swiftlet_emulated_thread thread;
    void *stack_pointer;
    State state;
    int line;  // where it waits
    std::vector<Copy> copies;
    std::vector<size_t> groups;  // ends of groups of copies
};

struct Warp {
    int lanes, arrived, line;
    unsigned generation;
    alignas(64) char slots[2][32][64];
};

struct Runner {
    enum : size_t { STACK = 64 << 10 };

    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    char *stacks = nullptr;
    int stack_count = 0, count = 0, done = 0, arrived = 0, barrier_line = 0, status = success;
    int order = SWIFTLET_ORDER_UP;
    uint64_t random = 1;
    Fiber *running = nullptr;
    void *home = nullptr;
    const Kernel *kernel = nullptr;
    void **arguments = nullptr;
    sigjmp_buf escape;
    bool is_running = false;
    std::string message;

    ~Runner() {
        if (stacks) munmap(stacks, (size_t)stack_count * STACK);
    }

    void reserve(int threads);
    void start(Fiber &fiber, int index);
    void resume(Fiber &fiber);
    void wait(State state);
    [[noreturn]] void fail(int status, const std::string &text);
    bool pass(int first, int end, bool downwards);
    void run_block();
    bool is_finished() const { return done == count || status != success; }
};

extern thread_local Runner runner;

}  // namespace emulator

// fibers.cpp: runs a kernel's blocks one after the other, each CUDA thread as a fiber with a stack of its own.
//
// A fiber runs until it waits for others; who is next is the order of threads, which tests vary.
// Invariant: all state belongs to the launching OS thread; a module's fibers never run on two of them at once.

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "runner.h"

namespace emulator {

namespace {

// --- Switching ---------------------------------------------------------------------------------------------------

extern "C" void swiftlet_fiber_switch(void **from, void *to);
extern "C" void swiftlet_fiber_main(void);

#if defined(__x86_64__)
asm(R"(
.text
.globl swiftlet_fiber_switch
.type swiftlet_fiber_switch, @function
swiftlet_fiber_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    retq
.size swiftlet_fiber_switch, .-swiftlet_fiber_switch
)");
enum { SAVED_WORDS = 6 };
#elif defined(__aarch64__) && defined(__linux__)
asm(R"(
.text
.globl swiftlet_fiber_switch
.type swiftlet_fiber_switch, %function
swiftlet_fiber_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    stp x29, x30, [sp, #80]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp, #80]
    add sp, sp, #160
    ret
.size swiftlet_fiber_switch, .-swiftlet_fiber_switch
)");
enum { SAVED_WORDS = 20 };
#else
#define SWIFTLET_NO_FIBERS 1
extern "C" void swiftlet_fiber_switch(void **, void *) {}
enum { SAVED_WORDS = 20 };
#endif

}  // namespace

// --- Fibers ----------------------------------------------------------------------------------------------------------

thread_local Runner runner;

void Runner::reserve(int threads) {
    if (threads > stack_count) {
        if (stacks) munmap(stacks, (size_t)stack_count * STACK);
        stacks = (char *)mmap(nullptr, (size_t)threads * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack_count = threads;
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        for (int i = 0; i < threads; i++) mprotect(stacks + (size_t)i * STACK, page, PROT_NONE);
    }
    if ((int)fibers.size() < threads) fibers.resize((size_t)threads);
    if ((int)warps.size() < (threads + 31) / 32) warps.resize((size_t)(threads + 31) / 32);
}

void Runner::start(Fiber &fiber, int index) {
    uintptr_t top = (uintptr_t)(stacks + (size_t)(index + 1) * STACK) & ~(uintptr_t)63;
    void **sp = (void **)top - 2;
#if defined(__x86_64__)
    *--sp = nullptr;                        // where the entry's caller would return to: keeps the stack aligned
    *--sp = (void *)swiftlet_fiber_main;
    sp -= SAVED_WORDS;
#else
    sp -= SAVED_WORDS;
    sp[11] = (void *)swiftlet_fiber_main;   // x30
#endif
    fiber.stack_pointer = sp;
    fiber.state = State::ready;
    fiber.copies.clear();
    fiber.groups.clear();
}

void Runner::resume(Fiber &fiber) {
    running = &fiber;
    *kernel->current = &fiber.thread;
    swiftlet_fiber_switch(&home, fiber.stack_pointer);
}

void Runner::wait(State state) {
    Fiber *fiber = running;
    fiber->state = state;
    swiftlet_fiber_switch(&fiber->stack_pointer, home);
}

/// Ends the launch; the fibers are given up where they are.
void Runner::fail(int code, const std::string &text) {
    status = code;
    message = text;
    siglongjmp(escape, 1);
}

extern "C" void swiftlet_fiber_main(void) {
    runner.kernel->call(runner.arguments);
    runner.done++;
    while (true) runner.wait(State::done);
}

// --- Blocks --------------------------------------------------------------------------------------------------------

/// Lets each ready fiber run once; false when none was.
bool Runner::pass(int first, int end, bool downwards) {
    bool any = false;
    int chance = order == SWIFTLET_ORDER_RANDOM ? end - first : 0;
    for (int i = 0; i < end - first; i++) {
        int at = downwards ? end - 1 - i : first + i;
        if (chance) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            at = first + (int)(random % (uint64_t)chance);
        }
        if (fibers[(size_t)at].state != State::ready) continue;
        any = true;
        resume(fibers[(size_t)at]);
    }
    for (int i = first; i < end && !any && chance; i++) {
        if (fibers[(size_t)i].state != State::ready) continue;
        any = true;
        resume(fibers[(size_t)i]);
    }
    return any;
}

void Runner::run_block() {
    done = arrived = 0;
    memset(kernel->shared_begin, 0xff, (size_t)(kernel->shared_end - kernel->shared_begin));
    for (int w = 0; w < (count + 31) / 32; w++) {
        Warp &warp = warps[(size_t)w];
        warp.lanes = count - 32 * w < 32 ? count - 32 * w : 32;
        warp.arrived = 0;
        warp.generation = 0;
    }
    for (int i = 0; i < count; i++) start(fibers[(size_t)i], i);
    bool by_warps = order == SWIFTLET_ORDER_WARP_UP || order == SWIFTLET_ORDER_WARP_DOWN;
    bool downwards = order == SWIFTLET_ORDER_DOWN || order == SWIFTLET_ORDER_WARP_DOWN;
    while (done < count) {
        bool any = false;
        for (int i = 0; i < (count + 31) / 32 && by_warps; i++) {
            int w = downwards ? (count + 31) / 32 - 1 - i : i;
            while (pass(32 * w, 32 * w + warps[(size_t)w].lanes, downwards)) any = true;
        }
        if (!by_warps) any = pass(0, count, downwards);
        if (any || done == count) continue;
        std::string text = "threads wait for others that have ended or wait elsewhere:";
        for (int i = 0; i < count; i++) {
            Fiber &fiber = fibers[(size_t)i];
            if (fiber.state == State::at_barrier) {
                text += " barrier of line " + std::to_string(barrier_line);
                break;
            }
            if (fiber.state == State::in_warp) {
                text += " collective of line " + std::to_string(warps[(size_t)i / 32].line);
                break;
            }
        }
        fail(launch_failed, text);
    }
}

}  // namespace emulator

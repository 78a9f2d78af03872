// fibers.cpp: runs a kernel's blocks one after the other, each CUDA thread as a fiber with a stack of its own.
//
// A fiber runs until it waits for others; who is next is the order of threads, which tests vary. Faults inside of a
// kernel (guard pages, misaligned vectors) end the launch with the status a GPU would give, not the process.
// Invariant: all state belongs to the launching OS thread; a module's fibers never run on two of them at once.

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>

#include "emulator.h"

namespace emulator {

namespace {

std::atomic<int> everybodys_order{SWIFTLET_ORDER_UP};
thread_local int own_order = -1;
std::atomic<uint64_t> launches{0};

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

// --- State of a block ------------------------------------------------------------------------------------------

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

// --- What fibers call --------------------------------------------------------------------------------------------

std::string place(const Fiber *fiber) {
    const dim3 &t = fiber->thread.thread, &b = fiber->thread.block;
    return "thread " + std::to_string(t.x) + " of block (" + std::to_string(b.x) + ", " + std::to_string(b.y) + ", " +
           std::to_string(b.z) + ")";
}

void barrier(int line) {
    Runner &r = runner;
    if (r.arrived > 0 && r.barrier_line != line)
        r.fail(launch_failed, place(r.running) + " is at the barrier of line " + std::to_string(line) +
                                  ", others at that of line " + std::to_string(r.barrier_line));
    r.barrier_line = line;
    if (++r.arrived < r.count) return r.wait(State::at_barrier);
    r.arrived = 0;
    for (int i = 0; i < r.count; i++)
        if (r.fibers[(size_t)i].state == State::at_barrier) r.fibers[(size_t)i].state = State::ready;
}

void *exchange(int line, const void *value, int size, void (*combine)(void *)) {
    Runner &r = runner;
    int index = (int)(r.running - r.fibers.data());
    Warp &warp = r.warps[(size_t)index / 32];
    if (warp.arrived > 0 && warp.line != line)
        r.fail(launch_failed, place(r.running) + " is at the collective of line " + std::to_string(line) +
                                  ", others at that of line " + std::to_string(warp.line));
    warp.line = line;
    char *slots = (char *)warp.slots[warp.generation % 2];
    memcpy(slots + 64 * (index % 32), value ? value : slots, (size_t)size);
    if (++warp.arrived < warp.lanes) {
        r.wait(State::in_warp);
        return slots;
    }
    warp.arrived = 0;
    warp.generation++;
    if (combine) combine(slots);
    for (int lane = 0; lane < warp.lanes; lane++) {
        Fiber &other = r.fibers[(size_t)(index / 32 * 32 + lane)];
        if (other.state == State::in_warp) other.state = State::ready;
    }
    return slots;
}

void perform(const Copy &copy) {
    if (copy.valid) memcpy(copy.shared, copy.global, 16);
    else memset(copy.shared, 0, 16);
}

void copy_async(void *shared, const void *global, int valid) {
    if ((uintptr_t)shared % 16 != 0 || (uintptr_t)global % 16 != 0)
        runner.fail(misaligned_address, "an asynchronous copy is not on 16 bytes");
    Copy copy = {shared, global, valid != 0};
    // As late as it may be, or at once: a kernel has to be right with either.
    if (runner.order % 2 == 1) perform(copy);
    else runner.running->copies.push_back(copy);
}

void copy_async_commit() { runner.running->groups.push_back(runner.running->copies.size()); }

void copy_async_wait(int newer) {
    Fiber &fiber = *runner.running;
    if ((int)fiber.groups.size() <= newer) return;
    size_t whole = fiber.groups.size() - (size_t)newer, end = fiber.groups[whole - 1];
    for (size_t i = 0; i < end; i++) perform(fiber.copies[i]);
    fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + (ptrdiff_t)end);
    fiber.groups.erase(fiber.groups.begin(), fiber.groups.begin() + (ptrdiff_t)whole);
    for (size_t &group : fiber.groups) group -= end;
}

void fail(int status, const char *text) { runner.fail(status, place(runner.running) + ": " + text); }

const swiftlet_emulated_calls calls = {barrier, exchange, copy_async, copy_async_commit, copy_async_wait, fail};

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

// --- Faults --------------------------------------------------------------------------------------------------------

struct sigaction previous[NSIG];

void handle_fault(int signal, siginfo_t *info, void *context) {
    if (runner.is_running) {
        bool is_trap = signal == SIGILL || signal == SIGTRAP;
        runner.status = signal == SIGFPE ? launch_failed : is_trap ? misaligned_address : illegal_address;
        runner.message = signal == SIGFPE ? "a division by zero"
                         : is_trap        ? "a vector that is not aligned, or an index beyond an array"
                                          : "an access beyond an allocation, or a stack that is too small";
        siglongjmp(runner.escape, 1);
    }
    struct sigaction &old = previous[signal];
    if (old.sa_flags & SA_SIGINFO && old.sa_sigaction) return old.sa_sigaction(signal, info, context);
    if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(signal);
    sigaction(signal, &old, nullptr);  // the instruction runs again, and ends the process
}

void install_handlers() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = handle_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE}) sigaction(signal, &action, &previous[signal]);
    });
    static thread_local std::unique_ptr<char[]> stack;
    if (stack) return;
    stack.reset(new char[64 << 10]);
    stack_t alternative = {};
    alternative.ss_sp = stack.get();
    alternative.ss_size = 64 << 10;
    stack_t current = {};
    sigaltstack(nullptr, &current);
    if (current.ss_flags & SS_DISABLE) sigaltstack(&alternative, nullptr);
}

}  // namespace

void set_own_order(int order) { own_order = order; }
const swiftlet_emulated_calls *device_calls() { return &calls; }
std::string &message() { return runner.message; }

int run(const Kernel &kernel, const Launch &launch) {
    Runner &r = runner;
    install_handlers();
    r.count = (int)(launch.block.x * launch.block.y * launch.block.z);
    r.reserve(r.count);
    r.kernel = &kernel;
    r.status = success;
    r.order = own_order >= 0 ? own_order : everybodys_order.load();
    std::vector<void *> arguments;
    for (int offset : launch.offsets) arguments.push_back((void *)(launch.arguments.data() + offset));
    r.arguments = arguments.data();
    launches++;
    if (sigsetjmp(r.escape, 1) == 0) {
        r.is_running = true;
        uint64_t blocks = (uint64_t)launch.grid.x * launch.grid.y * launch.grid.z;
        for (uint64_t n = 0; n < blocks; n++) {
            uint64_t b = r.order % 2 == 1 ? blocks - 1 - n : n;
            dim3 block = {(unsigned)(b % launch.grid.x), (unsigned)(b / launch.grid.x % launch.grid.y),
                          (unsigned)(b / launch.grid.x / launch.grid.y)};
            for (int i = 0; i < r.count; i++) {
                unsigned t = (unsigned)i, x = launch.block.x, y = launch.block.y;
                r.fibers[(size_t)i].thread = {{t % x, t / x % y, t / x / y}, block, launch.block, launch.grid};
            }
            r.run_block();
        }
    }
    r.is_running = false;
    return r.status;
}

}  // namespace emulator

extern "C" void swiftlet_emulator_set_thread_order(int order) { emulator::everybodys_order = order; }
extern "C" const char *swiftlet_emulator_message(void) { return emulator::message().c_str(); }
extern "C" uint64_t swiftlet_emulator_launches(void) { return emulator::launches; }

// launches.cpp: one launch of a kernel, on the calling OS thread.
//
// Faults inside of a kernel (guard pages, misaligned vectors) end the launch with the status a GPU would give, not the
// process. Invariant: a signal that comes from elsewhere goes where it went before.

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <mutex>

#include "runner.h"

namespace emulator {

namespace {

std::atomic<int> everybodys_order{SWIFTLET_ORDER_UP};
thread_local int own_order = -1;
std::atomic<uint64_t> launches{0};

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
extern "C" uint64_t swiftlet_emulator_launches(void) { return emulator::launches; }

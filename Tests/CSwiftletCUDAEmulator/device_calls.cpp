// device_calls.cpp: what a kernel's threads call that takes others or waits: barriers, collectives of a warp, copies.
//
// Invariant: threads that meet are at the same line of the source; else the launch fails.

#include <cstring>

#include "runner.h"

namespace emulator {

namespace {

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

}  // namespace

const swiftlet_emulated_calls *device_calls() { return &calls; }

}  // namespace emulator

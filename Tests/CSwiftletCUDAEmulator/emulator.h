// emulator.h: what the parts of the emulated driver share.
//
// Owner: driver.cpp. Invariant: statuses are CUresult's numbers; every call that needs a context checks it by `enter`.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CSwiftletCUDAEmulator.h"
#include "device/emulated_calls.h"

namespace emulator {

enum Status : int {
    pending = -1,  // not an end: it waits for another device
    success = 0,
    invalid_value = 1,
    out_of_memory = 2,
    not_initialized = 3,
    invalid_device = 101,
    invalid_image = 200,
    invalid_context = 201,
    invalid_handle = 400,
    not_found = 500,
    not_ready = 600,
    illegal_address = 700,
    out_of_resources = 701,
    misaligned_address = 716,
    launch_failed = 719,
    capture_unsupported = 900,
    capture_invalidated = 901,
    capture_unmatched = 903,
    capture_implicit = 906,
};

// --- launches.cpp and device_calls.cpp ---------------------------------------------------------------------------

/// A kernel of a module, as it lies in the module's shared object.
struct Kernel {
    void (*call)(void **arguments) = nullptr;
    std::vector<int> sizes;  // of the arguments
    int most_threads = 1024;
    swiftlet_emulated_thread **current = nullptr;
    char *shared_begin = nullptr, *shared_end = nullptr;
};

struct Launch {
    dim3 grid, block;
    std::vector<uint64_t> arguments;  // each begins at a word
    std::vector<int> offsets;         // in words
};

/// Runs all blocks on this OS thread.
int run(const Kernel &kernel, const Launch &launch);
const swiftlet_emulated_calls *device_calls();
/// The order of threads on this OS thread; -1: everybody's.
void set_own_order(int order);
/// What this thread's last failed launch did.
std::string &message();

// --- driver.cpp --------------------------------------------------------------------------------------------------

/// Counts what is made and released.
void count_object(int change);

enum class Call { any, unsafe };
/// Whether this thread may call: there is a context, nothing has failed before, and, for calls that are `unsafe` while a
/// stream is captured, this thread captures none (else its capture becomes invalid).
int enter(Call call);
/// The current context's device. A failure of it stays until the context is released.
const void *current_device();
void use_device(const void *device);
int note_failure(int status);
/// While it lives, this thread has a device and an order of threads of its own.
struct PrivateDevice {
    explicit PrivateDevice(int order);
    ~PrivateDevice();
    void *device, *before;
};

// --- memory.cpp --------------------------------------------------------------------------------------------------

/// Releases what the context of a device has left.
void release_memory(const void *device);

// --- streams.cpp -------------------------------------------------------------------------------------------------

/// What a collective is part of.
struct Meeting {
    std::atomic<int> graphs{0};  // that have it in them
};

/// Appends to a stream (a handle of cuStreamCreate, or null), or to the graph that it captures. What has a `meeting` may
/// answer `pending`: it is asked again then.
int enqueue(void *stream, std::function<int()> operation, std::shared_ptr<Meeting> meeting = nullptr);
/// Runs what all streams wait with that the legacy stream waits for.
int drain_blocking_streams();
/// What a device that is gone leaves.
void forget_device(const void *device);

// --- graphs.cpp --------------------------------------------------------------------------------------------------

bool is_capturing_here();
void invalidate_captures();

// --- Exported functions ------------------------------------------------------------------------------------------

struct Symbol {
    const char *name;
    void *address;
};
const std::vector<Symbol> &driver_symbols();
const std::vector<Symbol> &module_symbols();
const std::vector<Symbol> &memory_symbols();
const std::vector<Symbol> &stream_symbols();
const std::vector<Symbol> &graph_symbols();
const std::vector<Symbol> &event_symbols();
const std::vector<Symbol> &compiler_symbols();
const std::vector<Symbol> &product_symbols();
const std::vector<Symbol> &collective_symbols();

}  // namespace emulator

// stream.h: what streams, graphs and events share.
//
// Owner: streams.cpp. Invariant: a stream's operations run one at a time, in their order, on whatever OS thread holds
// `running`.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "emulator.h"

namespace emulator {

struct Operation {
    std::function<int()> run;
    std::shared_ptr<Meeting> meeting;  // of a collective
};

typedef std::vector<Operation> Graph;

struct Stream {
    const void *device = nullptr;
    bool is_blocking = true;
    std::recursive_mutex running;  // held by who runs an operation: others wait for it
    std::mutex lock;
    std::deque<Operation> operations;
    std::shared_ptr<Graph> capture;
    bool is_invalid = false;
    // Of one that has had collectives.
    std::thread worker;
    std::condition_variable has_work;
    bool ends = false;
};

/// The stream of a handle: null is the device's legacy one.
Stream *stream_of(void *handle);

/// Runs what is waiting, up to when `is_enough`; `pending` where an operation waits for another device.
template <typename Condition>
int drain(Stream *stream, Condition is_enough) {
    std::lock_guard turn(stream->running);
    while (!is_enough()) {
        Operation next;
        {
            std::lock_guard guard(stream->lock);
            if (stream->operations.empty()) return success;
            next = std::move(stream->operations.front());
            stream->operations.pop_front();
        }
        int status = next.run();
        if (status == success) continue;
        std::lock_guard guard(stream->lock);
        if (status == pending) {
            stream->operations.push_front(std::move(next));
            return pending;
        }
        stream->operations.clear();
        return note_failure(status);
    }
    return success;
}

/// The same, waiting for other devices too.
template <typename Condition>
int run_until(Stream *stream, Condition is_enough) {
    int status;
    while ((status = drain(stream, is_enough)) == pending) std::this_thread::sleep_for(std::chrono::microseconds(20));
    return status;
}

/// Somebody asks how far it is, which lets one that does nothing by itself do one thing more.
int look_at(Stream *stream);

}  // namespace emulator

// streams.cpp: streams, events and graphs of the emulated driver.
//
// A stream does nothing until somebody waits for it, as late as a real one may: what is read too early is wrong here.
// Invariant: what a capture records is what a launch of its graph appends to a stream, arguments and addresses included.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "emulator.h"

namespace emulator {

namespace {

typedef std::vector<Operation> Graph;

struct Stream {
    const void *device = nullptr;
    bool is_blocking = true;
    std::recursive_mutex running;  // held by who runs an operation: others wait for it
    std::mutex lock;
    std::deque<Operation> operations;
    std::shared_ptr<Graph> capture;
    bool is_invalid = false;
};

struct Event {
    Stream *stream = nullptr;  // the last one that it was recorded in
    std::atomic<bool> is_done{true};
    std::chrono::steady_clock::time_point time;
};

std::mutex list_lock;
std::vector<Stream *> streams;
std::map<const void *, Stream> legacy_streams;  // of each device
thread_local std::vector<Stream *> captured_here;

Stream *stream_of(void *handle) {
    if (handle) return (Stream *)handle;
    std::lock_guard guard(list_lock);
    return &legacy_streams[current_device()];
}

/// This device's, the legacy one first.
template <typename Condition>
std::vector<Stream *> streams_where(Condition condition) {
    std::vector<Stream *> found = {stream_of(nullptr)};
    std::lock_guard guard(list_lock);
    for (Stream *stream : streams)
        if (stream->device == current_device() && condition(stream)) found.push_back(stream);
    return found;
}

/// Runs what is waiting, up to when `is_enough`.
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
        int status = next();
        if (status == success) continue;
        std::lock_guard guard(stream->lock);
        stream->operations.clear();
        return note_failure(status);
    }
    return success;
}

int drain_all(Stream *stream) {
    return drain(stream, [] { return false; });
}

int create_stream(void **handle, unsigned flags) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (flags > 1) return invalid_value;
    Stream *stream = new Stream;
    stream->device = current_device();
    stream->is_blocking = flags == 0;
    std::lock_guard guard(list_lock);
    streams.push_back(stream);
    *handle = stream;
    count_object(1);
    return success;
}

int destroy_stream(void *handle) {
    if (!handle) return invalid_handle;
    Stream *stream = (Stream *)handle;
    drain_all(stream);
    std::lock_guard guard(list_lock);
    streams.erase(std::remove(streams.begin(), streams.end(), stream), streams.end());
    delete stream;
    count_object(-1);
    return success;
}

int synchronize(void *handle) {
    int status = enter(Call::any);
    if (status != success) return status;
    Stream *stream = stream_of(handle);
    if (stream->capture || is_capturing_here()) {
        invalidate_captures();
        return capture_unsupported;
    }
    return drain_all(stream);
}

int synchronize_all() {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    for (Stream *stream : streams_where([](Stream *) { return true; }))
        if (int failed = drain_all(stream)) return failed;
    return success;
}

// --- Captures ------------------------------------------------------------------------------------------------------

int begin_capture(void *handle, int mode) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (!handle) return capture_unsupported;
    if (mode < 0 || mode > 2) return invalid_value;
    Stream *stream = (Stream *)handle;
    if (stream->capture) return invalid_value;
    stream->capture = std::make_shared<Graph>();
    stream->is_invalid = false;
    captured_here.push_back(stream);
    return success;
}

int end_capture(void *handle, void **graph) {
    Stream *stream = stream_of(handle);
    *graph = nullptr;
    auto found = std::find(captured_here.begin(), captured_here.end(), stream);
    if (!stream->capture || found == captured_here.end()) return capture_unmatched;
    captured_here.erase(found);
    std::shared_ptr<Graph> recorded = std::move(stream->capture);
    stream->capture = nullptr;
    if (stream->is_invalid) return capture_invalidated;
    *graph = new Graph(*recorded);
    count_object(1);
    return success;
}

int capture_status(void *handle, int *status) {
    Stream *stream = stream_of(handle);
    *status = !stream->capture ? 0 : stream->is_invalid ? 2 : 1;
    return success;
}

int destroy_graph(void *graph) {
    delete (Graph *)graph;
    count_object(-1);
    return success;
}

int instantiate(void **executable, void *graph, unsigned long long) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    if (!graph) return invalid_value;
    *executable = new Graph(*(Graph *)graph);
    count_object(1);
    return success;
}

int launch_graph(void *executable, void *handle) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (!executable) return invalid_value;
    for (const Operation &operation : *(Graph *)executable)
        if (int failed = enqueue(handle, operation)) return failed;
    return success;
}

// --- Events --------------------------------------------------------------------------------------------------------

int create_event(void **handle, unsigned) {
    int status = enter(Call::any);
    if (status != success) return status;
    *handle = new Event;
    count_object(1);
    return success;
}

int destroy_event(void *handle) {
    Event *event = (Event *)handle;
    if (event->stream) drain(event->stream, [event] { return event->is_done.load(); });
    delete event;
    count_object(-1);
    return success;
}

int record_event(void *handle, void *stream) {
    int status = enter(Call::any);
    if (status != success) return status;
    Event *event = (Event *)handle;
    event->stream = stream_of(stream);
    event->is_done = false;
    return enqueue(stream, [event] {
        event->time = std::chrono::steady_clock::now();
        event->is_done = true;
        return success;
    });
}

int synchronize_event(void *handle) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    Event *event = (Event *)handle;
    if (!event->stream) return success;
    return drain(event->stream, [event] { return event->is_done.load(); });
}

/// A look at it lets the stream do one thing more.
int query_event(void *handle) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    Event *event = (Event *)handle;
    if (event->is_done) return success;
    bool once = false;
    status = drain(event->stream, [&once] { return std::exchange(once, true); });
    return status != success ? status : event->is_done ? success : not_ready;
}

int wait_event(void *stream, void *handle, unsigned) {
    Event *event = (Event *)handle;
    return enqueue(stream, [event] {
        return event->stream ? drain(event->stream, [event] { return event->is_done.load(); }) : success;
    });
}

int elapsed_time(float *milliseconds, void *start, void *end) {
    Event *from = (Event *)start, *to = (Event *)end;
    if (!from->is_done || !to->is_done) return not_ready;
    *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return success;
}

}  // namespace

int enqueue(void *handle, Operation operation) {
    Stream *stream = stream_of(handle);
    if (stream->capture) {
        stream->capture->push_back(std::move(operation));
        return stream->is_invalid ? capture_invalidated : success;
    }
    if (!handle && is_capturing_here()) return invalidate_captures(), capture_implicit;
    std::lock_guard guard(stream->lock);
    stream->operations.push_back(std::move(operation));
    return success;
}

int drain_blocking_streams() {
    for (Stream *stream : streams_where([](Stream *stream) { return stream->is_blocking && !stream->capture; }))
        if (int failed = drain_all(stream)) return failed;
    return success;
}

void forget_device(const void *device) {
    std::lock_guard guard(list_lock);
    legacy_streams.erase(device);
}

bool is_capturing_here() { return !captured_here.empty(); }
void invalidate_captures() {
    for (Stream *stream : captured_here) stream->is_invalid = true;
}

const std::vector<Symbol> &stream_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cuStreamCreate", (void *)create_stream},
        {"cuStreamDestroy_v2", (void *)destroy_stream},
        {"cuStreamSynchronize", (void *)synchronize},
        {"cuStreamBeginCapture_v2", (void *)begin_capture},
        {"cuStreamEndCapture", (void *)end_capture},
        {"cuStreamIsCapturing", (void *)capture_status},
        {"cuStreamWaitEvent", (void *)wait_event},
        {"cuCtxSynchronize", (void *)synchronize_all},
        {"cuGraphInstantiateWithFlags", (void *)instantiate},
        {"cuGraphDestroy", (void *)destroy_graph},
        {"cuGraphExecDestroy", (void *)destroy_graph},
        {"cuGraphLaunch", (void *)launch_graph},
        {"cuEventCreate", (void *)create_event},
        {"cuEventDestroy_v2", (void *)destroy_event},
        {"cuEventRecord", (void *)record_event},
        {"cuEventSynchronize", (void *)synchronize_event},
        {"cuEventQuery", (void *)query_event},
        {"cuEventElapsedTime", (void *)elapsed_time},
        {"cuEventElapsedTime_v2", (void *)elapsed_time},
    };
    return symbols;
}

}  // namespace emulator

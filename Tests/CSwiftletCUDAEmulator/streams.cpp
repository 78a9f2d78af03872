// streams.cpp: streams of the emulated driver.
//
// A stream does nothing until somebody waits for it, as late as a real one may: what is read too early is wrong here. Only
// one that has collectives runs by itself, on a thread of its own: nobody waits for some of the devices that meet.
// Invariant: after a failure nothing that was appended before it runs any more.

#include <algorithm>
#include <map>
#include <utility>

#include "stream.h"

namespace emulator {

namespace {

std::mutex list_lock;
std::vector<Stream *> streams;
std::map<const void *, Stream> legacy_streams;  // of each device

/// This device's, the legacy one first.
template <typename Condition>
std::vector<Stream *> streams_where(Condition condition) {
    std::vector<Stream *> found = {stream_of(nullptr)};
    std::lock_guard guard(list_lock);
    for (Stream *stream : streams)
        if (stream->device == current_device() && condition(stream)) found.push_back(stream);
    return found;
}

int drain_all(Stream *stream) {
    return run_until(stream, [] { return false; });
}

/// A stream's thread.
void work(Stream *stream) {
    use_device(stream->device);
    while (true) {
        {
            std::unique_lock guard(stream->lock);
            stream->has_work.wait(guard, [&] { return stream->ends || !stream->operations.empty(); });
            if (stream->ends) return;
        }
        // Not at once: what others do too early shall be wrong.
        std::this_thread::sleep_for(std::chrono::microseconds(20));
        drain(stream, [stream] { return stream->ends; });
    }
}

/// The first collective of a stream starts its thread.
int append(Stream *stream, Operation operation) {
    std::lock_guard guard(stream->lock);
    bool is_first = operation.meeting && !stream->worker.joinable();
    stream->operations.push_back(std::move(operation));
    if (is_first) stream->worker = std::thread(work, stream);
    stream->has_work.notify_all();
    return success;
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
    if (stream->worker.joinable()) {
        {
            std::lock_guard guard(stream->lock);
            stream->ends = true;
            stream->has_work.notify_all();
        }
        stream->worker.join();
    }
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

int query(void *handle) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    return look_at(stream_of(handle));
}

int synchronize_all() {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    for (Stream *stream : streams_where([](Stream *) { return true; }))
        if (int failed = drain_all(stream)) return failed;
    return success;
}

}  // namespace

Stream *stream_of(void *handle) {
    if (handle) return (Stream *)handle;
    std::lock_guard guard(list_lock);
    return &legacy_streams[current_device()];
}

int look_at(Stream *stream) {
    std::unique_lock turn(stream->running, std::try_to_lock);
    if (!turn) return not_ready;
    bool runs_by_itself = stream->worker.joinable(), once = runs_by_itself;
    int status = drain(stream, [&once] { return std::exchange(once, true); });
    if (status != success && status != pending) return status;
    std::lock_guard guard(stream->lock);
    return stream->operations.empty() ? success : not_ready;
}

int enqueue(void *handle, std::function<int()> run, std::shared_ptr<Meeting> meeting) {
    Stream *stream = stream_of(handle);
    Operation operation = {std::move(run), std::move(meeting)};
    if (stream->capture) {
        stream->capture->push_back(std::move(operation));
        return stream->is_invalid ? capture_invalidated : success;
    }
    if (!handle && is_capturing_here()) return invalidate_captures(), capture_implicit;
    if (!handle && operation.meeting) return invalid_value;
    return append(stream, std::move(operation));
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

const std::vector<Symbol> &stream_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cuStreamCreate", (void *)create_stream},
        {"cuStreamDestroy_v2", (void *)destroy_stream},
        {"cuStreamSynchronize", (void *)synchronize},
        {"cuStreamQuery", (void *)query},
        {"cuCtxSynchronize", (void *)synchronize_all},
    };
    return symbols;
}

}  // namespace emulator

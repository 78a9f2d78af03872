// events.cpp: events of the emulated driver.
//
// Invariant: an event is done when its stream has come to it, which it does when somebody waits for it.

#include <atomic>
#include <chrono>

#include "stream.h"

namespace emulator {

namespace {

struct Event {
    Stream *stream = nullptr;  // the last one that it was recorded in
    std::atomic<bool> is_done{true};
    std::chrono::steady_clock::time_point time;
};

int create_event(void **handle, unsigned) {
    int status = enter(Call::any);
    if (status != success) return status;
    *handle = new Event;
    count_object(1);
    return success;
}

int destroy_event(void *handle) {
    Event *event = (Event *)handle;
    if (event->stream) run_until(event->stream, [event] { return event->is_done.load(); });
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
    return run_until(event->stream, [event] { return event->is_done.load(); });
}

int query_event(void *handle) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    Event *event = (Event *)handle;
    if (event->is_done) return success;
    status = look_at(event->stream);
    return event->is_done ? success : status == success ? not_ready : status;
}

int wait_event(void *stream, void *handle, unsigned) {
    Event *event = (Event *)handle;
    return enqueue(stream, [event]() -> int {
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

const std::vector<Symbol> &event_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cuStreamWaitEvent", (void *)wait_event},
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

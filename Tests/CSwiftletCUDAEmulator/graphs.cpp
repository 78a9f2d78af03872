// graphs.cpp: captures and graphs of the emulated driver.
//
// Invariant: what a capture records is what a launch of its graph appends to a stream, arguments and addresses included.

#include <algorithm>

#include "stream.h"

namespace emulator {

namespace {

thread_local std::vector<Stream *> captured_here;

/// Collectives know how many graphs they are in.
Graph *made_graph(const Graph &operations) {
    for (const Operation &operation : operations)
        if (operation.meeting) operation.meeting->graphs++;
    count_object(1);
    return new Graph(operations);
}

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
    *graph = made_graph(*recorded);
    return success;
}

int capture_status(void *handle, int *status) {
    Stream *stream = stream_of(handle);
    *status = !stream->capture ? 0 : stream->is_invalid ? 2 : 1;
    return success;
}

/// What of it is under way goes on.
int destroy_graph(void *graph) {
    for (const Operation &operation : *(Graph *)graph)
        if (operation.meeting) operation.meeting->graphs--;
    delete (Graph *)graph;
    count_object(-1);
    return success;
}

int instantiate(void **executable, void *graph, unsigned long long) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    if (!graph) return invalid_value;
    *executable = made_graph(*(Graph *)graph);
    return success;
}

int launch_graph(void *executable, void *handle) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (!executable) return invalid_value;
    for (const Operation &operation : *(Graph *)executable)
        if (int failed = enqueue(handle, operation.run, operation.meeting)) return failed;
    return success;
}

}  // namespace

bool is_capturing_here() { return !captured_here.empty(); }
void invalidate_captures() {
    for (Stream *stream : captured_here) stream->is_invalid = true;
}

const std::vector<Symbol> &graph_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cuStreamBeginCapture_v2", (void *)begin_capture},
        {"cuStreamEndCapture", (void *)end_capture},
        {"cuStreamIsCapturing", (void *)capture_status},
        {"cuGraphInstantiateWithFlags", (void *)instantiate},
        {"cuGraphDestroy", (void *)destroy_graph},
        {"cuGraphExecDestroy", (void *)destroy_graph},
        {"cuGraphLaunch", (void *)launch_graph},
    };
    return symbols;
}

}  // namespace emulator

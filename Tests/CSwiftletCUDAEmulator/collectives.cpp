// collectives.cpp: NCCL's stand-in: ranks are threads of this process, collectives meet in memory.
//
// A collective runs when its rank's stream does, and waits there for the other ranks, as NCCL's kernels do; ranks that
// call in different orders are told. Invariant: sums are added from rank 0 on, so all ranks get the same bits.

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "emulator.h"

namespace emulator {

namespace {

enum : int { done = 0, system_error = 2, invalid_argument = 4, invalid_usage = 5, remote_error = 6 };
enum : int { FLOAT = 7, BF16 = 9, INT8 = 0, INT32 = 2, UINT64 = 5 };

struct Group {
    std::mutex lock;
    std::condition_variable changed;
    int ranks = 0, joined = 0, left = 0;
    bool is_aborted = false;
    // The collective that ranks are in.
    int arrived = 0, departed = 0;
    long number = 0;
    std::string what;
    std::vector<const void *> inputs;
    std::vector<char> result;
};

struct Communicator {
    std::shared_ptr<Group> group;
    int rank;
};

std::mutex lock;
std::map<std::string, std::shared_ptr<Group>> groups;  // by unique id
uint64_t next_id = 1;

int version(int *number) {
    *number = 22809;
    return done;
}

const char *error_string(int status) {
    switch (status) {
    case done: return "no error";
    case invalid_usage: return "invalid usage";
    case invalid_argument: return "invalid argument";
    case remote_error: return "remote process exited or there was a network error";
    default: return "unhandled system error";
    }
}

struct UniqueID {
    char bytes[128];
};

int unique_id(UniqueID *id) {
    std::lock_guard guard(lock);
    memset(id, 0, sizeof *id);
    memcpy(id->bytes, "emulated", 8);
    memcpy(id->bytes + 8, &next_id, 8);
    next_id++;
    return done;
}

int initialize_rank(void **handle, int ranks, UniqueID id, int rank) {
    if (memcmp(id.bytes, "emulated", 8) != 0 || ranks < 1 || rank < 0 || rank >= ranks) return invalid_argument;
    if (enter(Call::unsafe) != success) return system_error;
    std::shared_ptr<Group> group;
    {
        std::lock_guard guard(lock);
        std::shared_ptr<Group> &known = groups[std::string(id.bytes, 128)];
        if (!known) known = std::make_shared<Group>();
        group = known;
    }
    std::unique_lock guard(group->lock);
    if (group->ranks != 0 && group->ranks != ranks) return invalid_argument;
    group->ranks = ranks;
    group->inputs.resize((size_t)ranks);
    group->joined++;
    group->changed.notify_all();
    bool all = group->changed.wait_for(guard, std::chrono::seconds(60), [&] { return group->joined >= ranks; });
    if (!all) return system_error;
    *handle = new Communicator{group, rank};
    count_object(1);
    return done;
}

int destroy(void *handle) {
    delete (Communicator *)handle;
    count_object(-1);
    return done;
}

int abort(void *handle) {
    Communicator *communicator = (Communicator *)handle;
    {
        std::lock_guard guard(communicator->group->lock);
        communicator->group->is_aborted = true;
        communicator->group->changed.notify_all();
    }
    return destroy(handle);
}

int asynchronous_error(void *handle, int *status) {
    Communicator *communicator = (Communicator *)handle;
    std::lock_guard guard(communicator->group->lock);
    *status = communicator->group->is_aborted ? remote_error : done;
    return done;
}

// --- Collectives -----------------------------------------------------------------------------------------------------

size_t bytes_of(int type) { return type == FLOAT || type == INT32 ? 4 : type == BF16 ? 2 : type == UINT64 ? 8 : 1; }

/// Meets the other ranks; the last one lets `combine` make the result of all inputs, which every rank then takes.
template <typename Combine, typename Take>
int meet(const Communicator &communicator, const std::string &what, const void *input, Combine combine, Take take) {
    Group &group = *communicator.group;
    std::unique_lock guard(group.lock);
    auto wait = [&](auto condition) {
        bool reached = group.changed.wait_for(guard, std::chrono::seconds(60), [&] { return group.is_aborted || condition(); });
        return reached && !group.is_aborted;
    };
    // The one before is over.
    if (!wait([&] { return group.departed == 0; })) return launch_failed;
    if (group.arrived == 0) group.what = what;
    if (group.what != what) {
        message() = "ranks meet in different collectives: " + what + " and " + group.what;
        group.is_aborted = true;
        group.changed.notify_all();
        return launch_failed;
    }
    group.inputs[(size_t)communicator.rank] = input;
    long number = group.number;
    if (++group.arrived == group.ranks) {
        combine(group);
        group.number++;
        group.departed = group.ranks;
        group.arrived = 0;
        group.changed.notify_all();
    } else if (!wait([&] { return group.number != number; })) {
        return launch_failed;
    }
    take(group);
    if (--group.departed == 0) group.changed.notify_all();
    return success;
}

int all_reduce(const void *input, void *output, size_t count, int type, int operation, void *handle, void *stream) {
    if (type != FLOAT || operation != 0) return invalid_argument;
    Communicator communicator = *(Communicator *)handle;
    return enqueue(stream, [=] {
        auto combine = [&](Group &group) {
            group.result.assign(4 * count, 0);
            float *sums = (float *)group.result.data();
            for (int r = 0; r < group.ranks; r++)
                for (size_t i = 0; i < count; i++) sums[i] += ((const float *)group.inputs[(size_t)r])[i];
        };
        auto take = [&](Group &group) { memcpy(output, group.result.data(), 4 * count); };
        return meet(communicator, "all-reduce of " + std::to_string(count), input, combine, take);
    }) == success ? done : system_error;
}

int all_gather(const void *input, void *output, size_t count, int type, void *handle, void *stream) {
    Communicator communicator = *(Communicator *)handle;
    size_t bytes = count * bytes_of(type);
    return enqueue(stream, [=] {
        auto combine = [&](Group &group) {
            group.result.resize(bytes * (size_t)group.ranks);
            for (int r = 0; r < group.ranks; r++)
                memcpy(group.result.data() + bytes * (size_t)r, group.inputs[(size_t)r], bytes);
        };
        auto take = [&](Group &group) { memcpy(output, group.result.data(), bytes * (size_t)group.ranks); };
        return meet(communicator, "all-gather of " + std::to_string(bytes), input, combine, take);
    }) == success ? done : system_error;
}

int broadcast(const void *input, void *output, size_t count, int type, int root, void *handle, void *stream) {
    Communicator communicator = *(Communicator *)handle;
    size_t bytes = count * bytes_of(type);
    return enqueue(stream, [=] {
        auto combine = [&](Group &group) {
            const char *from = (const char *)group.inputs[(size_t)root];
            group.result.assign(from, from + bytes);
        };
        auto take = [&](Group &group) { memcpy(output, group.result.data(), bytes); };
        return meet(communicator, "broadcast of " + std::to_string(bytes), input, combine, take);
    }) == success ? done : system_error;
}

int begin_group() { return done; }

}  // namespace

const std::vector<Symbol> &collective_symbols() {
    static const std::vector<Symbol> symbols = {
        {"ncclGetVersion", (void *)version},
        {"ncclGetErrorString", (void *)error_string},
        {"ncclGetUniqueId", (void *)unique_id},
        {"ncclCommInitRank", (void *)initialize_rank},
        {"ncclCommDestroy", (void *)destroy},
        {"ncclCommAbort", (void *)abort},
        {"ncclCommGetAsyncError", (void *)asynchronous_error},
        {"ncclAllReduce", (void *)all_reduce},
        {"ncclAllGather", (void *)all_gather},
        {"ncclBroadcast", (void *)broadcast},
        {"ncclGroupStart", (void *)begin_group},
        {"ncclGroupEnd", (void *)begin_group},
    };
    return symbols;
}

}  // namespace emulator

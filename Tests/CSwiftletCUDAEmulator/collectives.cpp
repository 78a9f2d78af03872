// collectives.cpp: NCCL's stand-in: ranks are threads of one process, or processes of one machine, which meet in a file
// that they share.
//
// A collective runs when its rank's stream does, and answers `pending` until the other ranks have come to theirs: an
// abort ends it, as it ends NCCL's kernels, and nobody else is told. Ranks that come in different orders are.
// Invariant: sums are added from rank 0 on, so all ranks get the same bits.

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "meeting_place.h"

namespace emulator {

namespace {

enum : int { done = 0, system_error = 2, invalid_argument = 4, invalid_usage = 5, remote_error = 6 };
enum : int { FLOAT = 7, SUM = 0 };
enum : int { SECONDS = 60 };  // until a rank that never comes is an error

thread_local int open_groups = 0;

typedef std::chrono::steady_clock Clock;

bool wait_for(const std::function<bool()> &condition) {
    Clock::time_point end = Clock::now() + std::chrono::seconds(SECONDS);
    while (!condition()) {
        if (Clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return true;
}

struct Communicator : Meeting {
    MeetingPlace place;
    int rank = 0, ranks = 0;
    std::atomic<bool> is_aborted{false};
    uint64_t finished = 0;  // collectives
    bool has_sent = false;  // in the one that it is in
    bool is_waiting = false;
    Clock::time_point since;

    /// What an operation answers that can't go on; it does not wait forever.
    int wait(const std::string &what) {
        if (!is_waiting) since = Clock::now();
        is_waiting = true;
        if (Clock::now() - since < std::chrono::seconds(SECONDS)) return pending;
        return fail(what + ": other ranks did not come to it");
    }
    int fail(const std::string &text) {
        message() = "rank " + std::to_string(rank) + ": " + text;
        return launch_failed;
    }
};

typedef std::shared_ptr<Communicator> Handle;
Handle &communicator(void *handle) { return *(Handle *)handle; }

// --- Communicators ---------------------------------------------------------------------------------------------------

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
    static std::atomic<uint64_t> next{1};
    uint64_t number = next++, process = (uint64_t)getpid(), time = (uint64_t)Clock::now().time_since_epoch().count();
    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "emulated-%llx-%llx-%llx", (unsigned long long)process,
             (unsigned long long)number, (unsigned long long)time);
    return done;
}

int initialize_rank(void **handle, int ranks, UniqueID id, int rank) {
    id.bytes[127] = 0;
    if (memcmp(id.bytes, "emulated-", 9) != 0 || strchr(id.bytes, '/') || ranks < 1 || rank < 0 || rank >= ranks)
        return invalid_argument;
    if (enter(Call::unsafe) != success) return system_error;
    Handle made = std::make_shared<Communicator>();
    made->rank = rank;
    made->ranks = ranks;
    if (!made->place.open(id.bytes, ranks)) return system_error;
    Mailbox &own = made->place.mailbox(rank);
    own.process = (uint64_t)getpid();
    own.device = (uint64_t)current_device();
    made->place.header().joined++;
    bool are_all_there = wait_for([&] { return made->place.header().joined >= ranks; });
    if (rank == 0) made->place.unlink();
    if (!are_all_there) return system_error;
    for (int other = 0; other < ranks; other++) {
        Mailbox &box = made->place.mailbox(other);
        // Each needs a GPU of its own.
        if (other != rank && box.process == own.process && box.device == own.device) return invalid_usage;
    }
    *handle = new Handle(made);
    count_object(1);
    return done;
}

/// Where graphs have its collectives in them, the real one waits for their end.
int release(void *handle) {
    if (communicator(handle)->graphs > 0) {
        message() = "a communicator is closed while graphs have collectives of it in them";
        return invalid_usage;
    }
    delete (Handle *)handle;
    count_object(-1);
    return done;
}

/// All ranks come to it.
int destroy(void *handle) {
    Communicator &own = *communicator(handle);
    own.place.header().left++;
    if (!wait_for([&] { return own.place.header().left >= own.ranks; })) return system_error;
    return release(handle);
}

int abort(void *handle) {
    communicator(handle)->is_aborted = true;
    communicator(handle)->place.header().left++;
    return release(handle);
}

/// Nobody hears of a rank on the same machine that is gone.
int asynchronous_error(void *, int *status) {
    *status = done;
    return done;
}

// --- Collectives -----------------------------------------------------------------------------------------------------

/// Lays this rank's input where the others find it, waits for theirs, and takes the sum of all.
int sum_once(Communicator &own, const float *input, float *output, size_t count) {
    if (own.is_aborted) return success;
    uint64_t number = own.finished;
    std::string what = "sum of " + std::to_string(count);
    if (4 * count > MeetingPlace::SLOT) return own.fail(what + ": too large for this stand-in");
    if (!own.has_sent) {
        // Everybody has taken what lay there.
        for (int rank = 0; rank < own.ranks; rank++)
            if (own.place.mailbox(rank).taken + 1 < number) return own.wait(what);
        Mailbox &box = own.place.mailbox(own.rank);
        memcpy(own.place.slot(own.rank, number % 2), input, 4 * count);
        snprintf(box.what[number % 2], sizeof box.what[0], "%s", what.c_str());
        box.sent = number + 1;
        own.has_sent = true;
    }
    for (int rank = 0; rank < own.ranks; rank++)
        if (own.place.mailbox(rank).sent <= number) return own.wait(what);
    for (int rank = 0; rank < own.ranks; rank++) {
        const char *theirs = own.place.mailbox(rank).what[number % 2];
        if (what != theirs) return own.fail("ranks meet in different collectives: " + what + " and " + theirs);
    }
    for (size_t i = 0; i < count; i++) {
        float sum = 0;
        for (int rank = 0; rank < own.ranks; rank++) sum += ((const float *)own.place.slot(rank, number % 2))[i];
        output[i] = sum;
    }
    own.finished++;
    own.has_sent = own.is_waiting = false;
    own.place.mailbox(own.rank).taken = own.finished;
    return success;
}

int all_reduce(const void *input, void *output, size_t count, int type, int operation, void *handle, void *stream) {
    if (type != FLOAT || operation != SUM) return invalid_argument;
    Handle own = communicator(handle);
    auto run = [=] { return sum_once(*own, (const float *)input, (float *)output, count); };
    return enqueue(stream, run, own) == success ? done : system_error;
}

int send_once(Communicator &own, const void *input, size_t bytes, int peer) {
    if (own.is_aborted) return success;
    Pipe &pipe = own.place.pipe(own.rank, peer);
    std::string what = "sending " + std::to_string(bytes) + " bytes to rank " + std::to_string(peer);
    if (bytes > MeetingPlace::SLOT) return own.fail(what + ": too large for this stand-in");
    if (pipe.sent != pipe.taken) return own.wait(what);
    memcpy(own.place.slot(pipe), input, bytes);
    pipe.bytes = bytes;
    pipe.sent++;
    own.is_waiting = false;
    return success;
}

int receive_once(Communicator &own, void *output, size_t bytes, int peer) {
    if (own.is_aborted) return success;
    Pipe &pipe = own.place.pipe(peer, own.rank);
    std::string what = "receiving " + std::to_string(bytes) + " bytes of rank " + std::to_string(peer);
    if (pipe.sent == pipe.taken) return own.wait(what);
    if (pipe.bytes != bytes) return own.fail(what + ", which sends " + std::to_string(pipe.bytes));
    memcpy(output, own.place.slot(pipe), bytes);
    pipe.taken++;
    own.is_waiting = false;
    return success;
}

int send(const void *input, size_t count, int type, int peer, void *handle, void *stream) {
    Handle own = communicator(handle);
    if (type != FLOAT || peer < 0 || peer >= own->ranks || peer == own->rank) return invalid_argument;
    auto run = [=] { return send_once(*own, input, 4 * count, peer); };
    return enqueue(stream, run, own) == success ? done : system_error;
}

int receive(void *output, size_t count, int type, int peer, void *handle, void *stream) {
    Handle own = communicator(handle);
    if (type != FLOAT || peer < 0 || peer >= own->ranks || peer == own->rank) return invalid_argument;
    auto run = [=] { return receive_once(*own, output, 4 * count, peer); };
    return enqueue(stream, run, own) == success ? done : system_error;
}

int begin_group() {
    open_groups++;
    return done;
}

int end_group() { return open_groups-- > 0 ? done : invalid_usage; }

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
        {"ncclSend", (void *)send},
        {"ncclRecv", (void *)receive},
        {"ncclGroupStart", (void *)begin_group},
        {"ncclGroupEnd", (void *)end_group},
    };
    return symbols;
}

}  // namespace emulator

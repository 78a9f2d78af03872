// meeting_place.h: memory that the ranks of a communicator share, in one process or several: a sparse file that is gone
// from its folder when all have it open.
//
// Owner: collectives.cpp. Invariant: a word is written by one rank, except the two counters of the header.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "emulator.h"

namespace emulator {

/// What a rank has come to.
struct Mailbox {
    uint64_t process, device;
    std::atomic<uint64_t> sent, taken;  // collectives
    char what[2][64];
};

/// From one rank to another one.
struct Pipe {
    std::atomic<uint64_t> sent, taken;
    uint64_t bytes;
};

class MeetingPlace {
public:
    enum : size_t { SLOT = 4 << 20, PAGES = 64 << 10 };

    struct Header {
        std::atomic<int> joined, left;
    };

    MeetingPlace() = default;
    MeetingPlace(const MeetingPlace &) = delete;
    ~MeetingPlace() {
        if (memory) munmap(memory, bytes);
    }

    bool open(const char *id, int ranks) {
        size_t count = (size_t)ranks;
        const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
        path = std::string(folder) + "/swiftlet-" + id;
        this->ranks = ranks;
        bytes = PAGES + (2 * count + count * count) * SLOT;
        if (64 + count * sizeof(Mailbox) + count * count * sizeof(Pipe) > PAGES) return false;
        int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0) return false;
        bool is_there = ftruncate(file, (off_t)bytes) == 0;
        void *mapped = is_there ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
        close(file);
        memory = mapped == MAP_FAILED ? nullptr : (char *)mapped;
        return memory != nullptr;
    }

    void unlink() { ::unlink(path.c_str()); }

    Header &header() { return *(Header *)memory; }
    Mailbox &mailbox(int rank) { return ((Mailbox *)(memory + 64))[rank]; }
    Pipe &pipe(int from, int to) { return pipes()[from * ranks + to]; }
    char *slot(int rank, uint64_t turn) { return slots() + (2 * (size_t)rank + turn) * SLOT; }
    char *slot(const Pipe &pipe) { return slots() + (2 * (size_t)ranks + (size_t)(&pipe - pipes())) * SLOT; }

private:
    std::string path;
    char *memory = nullptr;
    size_t bytes = 0;
    int ranks = 0;

    Pipe *pipes() { return (Pipe *)(memory + 64 + (size_t)ranks * sizeof(Mailbox)); }
    char *slots() { return memory + PAGES; }
};

}  // namespace emulator

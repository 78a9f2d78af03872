// memory.cpp: memory of the emulated devices, pinned memory, and copies.
//
// An allocation ends, up to 15 bytes, where a page begins that can't be touched, begins behind another one, and is filled
// with NaN. Those bytes behind it are looked at when it is freed.
// Invariant: device memory is not host memory: the host reads and writes it through copies alone.

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include "emulator.h"

namespace emulator {

namespace {

struct Allocation {
    const void *device;
    char *pages;
    size_t page_bytes, bytes, slack;
};

std::mutex lock;
std::map<uint64_t, Allocation> allocations;  // by address
std::map<char *, size_t> pinned;             // by address
std::atomic<size_t> limit{(size_t)1 << 30};

size_t used(const void *device) {
    size_t sum = 0;
    for (auto &[address, allocation] : allocations)
        if (allocation.device == device) sum += allocation.bytes;
    return sum;
}

int total_memory(size_t *bytes, int) {
    *bytes = limit;
    return success;
}

int memory_info(size_t *free, size_t *total) {
    int status = enter(Call::any);
    if (status != success) return status;
    std::lock_guard guard(lock);
    size_t in_use = used(current_device());
    *total = limit;
    *free = limit > in_use ? limit - in_use : 0;
    return success;
}

int allocate(uint64_t *address, size_t bytes) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    if (bytes == 0) return invalid_value;
    std::lock_guard guard(lock);
    if (bytes > limit || used(current_device()) > limit - bytes) return out_of_memory;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    char *pages = (char *)mmap(nullptr, whole + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return out_of_memory;
    mprotect(pages, page, PROT_NONE);
    mprotect(pages + page + whole, page, PROT_NONE);
    memset(pages + page, 0xff, whole);
    size_t rounded = (bytes + 15) / 16 * 16;
    *address = (uint64_t)(pages + page + whole - rounded);
    allocations[*address] = {current_device(), pages, whole + 2 * page, bytes, rounded - bytes};
    count_object(1);
    return success;
}

/// False when something was written behind the end.
bool release(uint64_t address, const Allocation &allocation) {
    const char *end = (const char *)address + allocation.bytes;
    bool intact = true;
    for (size_t i = 0; i < allocation.slack; i++) intact &= end[i] == (char)0xff;
    munmap(allocation.pages, allocation.page_bytes);
    count_object(-1);
    return intact;
}

int free_memory(uint64_t address) {
    int status = enter(Call::unsafe);
    if (status == capture_unsupported || status == invalid_context || status == not_initialized) return status;
    std::lock_guard guard(lock);
    auto found = allocations.find(address);
    if (found == allocations.end()) return invalid_value;
    bool intact = release(address, found->second);
    allocations.erase(found);
    if (intact) return success;
    message() = "something was written behind the end of an allocation";
    return note_failure(illegal_address);
}

int allocate_host(void **memory, size_t bytes, unsigned) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    if (bytes == 0) return invalid_value;
    char *made = new char[bytes];
    memset(made, 0xff, bytes);
    std::lock_guard guard(lock);
    pinned[made] = bytes;
    *memory = made;
    count_object(1);
    return success;
}

int free_host(void *memory) {
    std::lock_guard guard(lock);
    if (pinned.erase((char *)memory) == 0) return invalid_value;
    delete[] (char *)memory;
    count_object(-1);
    return success;
}

bool is_device_range(uint64_t address, size_t bytes) {
    std::lock_guard guard(lock);
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return false;
    --next;
    return address + bytes <= next->first + next->second.bytes;
}

// --- Copies --------------------------------------------------------------------------------------------------------

int copy_in_now(uint64_t to, const void *from, size_t bytes) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (is_capturing_here()) return invalidate_captures(), capture_implicit;
    if (!is_device_range(to, bytes)) return invalid_value;
    status = drain_blocking_streams();
    if (status == success) memcpy((void *)to, from, bytes);
    return status;
}

int copy_out_now(void *to, uint64_t from, size_t bytes) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (is_capturing_here()) return invalidate_captures(), capture_implicit;
    if (!is_device_range(from, bytes)) return invalid_value;
    status = drain_blocking_streams();
    if (status == success) memcpy(to, (const void *)from, bytes);
    return status;
}

int enqueue_copy(void *stream, void *to, const void *from, size_t bytes) {
    return enqueue(stream, [=] {
        memcpy(to, from, bytes);
        return success;
    });
}

int copy_in(uint64_t to, const void *from, size_t bytes, void *stream) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (!is_device_range(to, bytes)) return invalid_value;
    // Pinned or not: a GPU that reads the host's pages by itself reads them when its stream comes to it.
    return enqueue_copy(stream, (void *)to, from, bytes);
}

int copy_out(void *to, uint64_t from, size_t bytes, void *stream) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (!is_device_range(from, bytes)) return invalid_value;
    return enqueue_copy(stream, to, (const void *)from, bytes);
}

int copy_within(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (!is_device_range(to, bytes) || !is_device_range(from, bytes)) return invalid_value;
    return enqueue_copy(stream, (void *)to, (const void *)from, bytes);
}

int fill(uint64_t to, unsigned char value, size_t bytes, void *stream) {
    int status = enter(Call::any);
    if (status != success) return status;
    if (!is_device_range(to, bytes)) return invalid_value;
    return enqueue(stream, [=] {
        memset((void *)to, value, bytes);
        return success;
    });
}

}  // namespace

void release_memory(const void *device) {
    std::lock_guard guard(lock);
    for (auto next = allocations.begin(); next != allocations.end();) {
        if (next->second.device != device) {
            ++next;
            continue;
        }
        release(next->first, next->second);
        next = allocations.erase(next);
    }
}

const std::vector<Symbol> &memory_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cuDeviceTotalMem_v2", (void *)total_memory},
        {"cuMemGetInfo_v2", (void *)memory_info},
        {"cuMemAlloc_v2", (void *)allocate},
        {"cuMemFree_v2", (void *)free_memory},
        {"cuMemHostAlloc", (void *)allocate_host},
        {"cuMemFreeHost", (void *)free_host},
        {"cuMemcpyHtoD_v2", (void *)copy_in_now},
        {"cuMemcpyDtoH_v2", (void *)copy_out_now},
        {"cuMemcpyHtoDAsync_v2", (void *)copy_in},
        {"cuMemcpyDtoHAsync_v2", (void *)copy_out},
        {"cuMemcpyDtoDAsync_v2", (void *)copy_within},
        {"cuMemsetD8Async", (void *)fill},
    };
    return symbols;
}

}  // namespace emulator

extern "C" void swiftlet_emulator_set_memory(size_t bytes) { emulator::limit = bytes; }

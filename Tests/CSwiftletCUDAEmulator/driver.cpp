// driver.cpp: devices and contexts of the emulated driver.
//
// Four devices of compute capability 9.0. Owner: tests of the CUDA backend.
// Invariant: a device that has failed says so in every call until its context is released.

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include "emulator.h"

namespace emulator {

namespace {

enum : int { DEVICES = 4 };

struct Device {
    std::atomic<int> users{0};
    std::atomic<int> failure{success};
};
Device devices[DEVICES];
std::atomic<bool> is_initialized{false};
std::atomic<int> objects{0};
thread_local Device *current = nullptr;
std::mutex message_lock;
std::string last_message;  // of a stream's own thread, which nobody asks

int initialize(unsigned flags) {
    if (flags != 0) return invalid_value;
    is_initialized = true;
    return success;
}

int driver_version(int *version) {
    *version = 13000;
    return success;
}

const std::map<int, const char *> error_names = {
    {success, "CUDA_SUCCESS"},
    {invalid_value, "CUDA_ERROR_INVALID_VALUE"},
    {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
    {not_initialized, "CUDA_ERROR_NOT_INITIALIZED"},
    {invalid_device, "CUDA_ERROR_INVALID_DEVICE"},
    {invalid_image, "CUDA_ERROR_INVALID_IMAGE"},
    {invalid_context, "CUDA_ERROR_INVALID_CONTEXT"},
    {invalid_handle, "CUDA_ERROR_INVALID_HANDLE"},
    {not_found, "CUDA_ERROR_NOT_FOUND"},
    {not_ready, "CUDA_ERROR_NOT_READY"},
    {illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {out_of_resources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
    {misaligned_address, "CUDA_ERROR_MISALIGNED_ADDRESS"},
    {launch_failed, "CUDA_ERROR_LAUNCH_FAILED"},
    {capture_unsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
    {capture_invalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
    {capture_unmatched, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"},
    {capture_implicit, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"},
};

int error_name(int status, const char **name) {
    auto found = error_names.find(status);
    *name = found == error_names.end() ? nullptr : found->second;
    return *name ? success : invalid_value;
}

// --- Devices -------------------------------------------------------------------------------------------------------

bool is_device(int device) { return device >= 0 && device < DEVICES; }

int device_count(int *count) {
    if (!is_initialized) return not_initialized;
    *count = DEVICES;
    return success;
}

int get_device(int *device, int ordinal) {
    if (!is_initialized) return not_initialized;
    if (!is_device(ordinal)) return invalid_device;
    *device = ordinal;
    return success;
}

int device_name(char *name, int length, int device) {
    if (!is_device(device)) return invalid_device;
    if (length <= 0) return invalid_value;
    strncpy(name, "Emulated GPU", (size_t)length - 1);
    name[length - 1] = 0;
    return success;
}

int device_attribute(int *value, int attribute, int device) {
    if (!is_device(device)) return invalid_device;
    switch (attribute) {
    case 1: *value = 1024; break;    // threads of a block
    case 8: *value = 48 << 10; break;  // shared memory of a block
    case 10: *value = 32; break;     // warp size
    case 13: *value = 1500000; break;  // clock, kHz
    case 16: *value = 4; break;      // multiprocessors
    case 36: *value = 1000000; break;  // memory clock, kHz
    case 37: *value = 128; break;    // width of the memory bus
    case 38: *value = 1 << 20; break;  // second-level cache
    case 75: *value = 9; break;      // compute capability
    case 76: *value = 0; break;
    case 97: *value = 100 << 10; break;  // shared memory of a block, on request
    default: return invalid_value;
    }
    return success;
}

int retain_context(void **context, int device) {
    if (!is_initialized) return not_initialized;
    if (!is_device(device)) return invalid_device;
    devices[device].users++;
    *context = &devices[device];
    return success;
}

int release_context(int device) {
    if (!is_device(device)) return invalid_device;
    if (devices[device].users <= 0) return invalid_context;
    if (--devices[device].users == 0) {
        release_memory(&devices[device]);
        devices[device].failure = success;
    }
    return success;
}

int set_context(void *context) {
    current = (Device *)context;
    return success;
}

int get_context(void **context) {
    *context = current;
    return success;
}

}  // namespace

void count_object(int change) { objects += change; }
const void *current_device() { return current; }
void use_device(const void *device) { current = (Device *)device; }

PrivateDevice::PrivateDevice(int order) : device(new Device), before(current) {
    is_initialized = true;
    current = (Device *)device;
    current->users = 1;
    set_own_order(order);
}

PrivateDevice::~PrivateDevice() {
    release_memory(device);
    forget_device(device);
    delete (Device *)device;
    current = (Device *)before;
    set_own_order(-1);
}

int note_failure(int status) {
    if (status == success) return status;
    if (current) current->failure = status;
    std::lock_guard guard(message_lock);
    last_message = message();
    return status;
}

int enter(Call call) {
    if (!is_initialized) return not_initialized;
    if (!current || current->users <= 0) return invalid_context;
    if (current->failure != success) return current->failure;
    if (call == Call::unsafe && is_capturing_here()) {
        invalidate_captures();
        return capture_unsupported;
    }
    return success;
}

const std::vector<Symbol> &driver_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cuInit", (void *)initialize},
        {"cuDriverGetVersion", (void *)driver_version},
        {"cuGetErrorName", (void *)error_name},
        {"cuGetErrorString", (void *)error_name},
        {"cuDeviceGetCount", (void *)device_count},
        {"cuDeviceGet", (void *)get_device},
        {"cuDeviceGetName", (void *)device_name},
        {"cuDeviceGetAttribute", (void *)device_attribute},
        {"cuDevicePrimaryCtxRetain", (void *)retain_context},
        {"cuDevicePrimaryCtxRelease_v2", (void *)release_context},
        {"cuCtxSetCurrent", (void *)set_context},
        {"cuCtxGetCurrent", (void *)get_context},
    };
    return symbols;
}

}  // namespace emulator

extern "C" const char *swiftlet_emulator_message(void) {
    using namespace emulator;
    std::lock_guard guard(message_lock);
    if (message().empty()) message() = last_message;
    return message().c_str();
}

extern "C" int swiftlet_emulator_live_objects(void) { return emulator::objects; }

extern "C" void *swiftlet_emulated_symbol(const char *name) {
    using namespace emulator;
    for (auto *symbols : {&driver_symbols(), &module_symbols(), &memory_symbols(), &stream_symbols(), &graph_symbols(),
                          &event_symbols(), &compiler_symbols(), &product_symbols(), &collective_symbols()})
        for (const Symbol &symbol : *symbols)
            if (strcmp(symbol.name, name) == 0) return symbol.address;
    return nullptr;
}

// driver.cpp: devices, contexts, modules and launches of the emulated driver.
//
// Two devices of compute capability 9.0 that run nothing at the same time. Owner: tests of the CUDA backend.
// Invariant: a module is a shared object that compiler.cpp made; its kernels run under its own lock, because what they
// share within a block are its static variables.

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "emulator.h"

namespace emulator {

namespace {

enum : int { DEVICES = 2 };

struct Device {
    std::atomic<int> users{0};
    std::atomic<int> failure{success};
};
Device devices[DEVICES];
std::atomic<bool> is_initialized{false};
std::atomic<int> objects{0};
thread_local Device *current = nullptr;

struct Module;
struct Function {
    Module *module;
    Kernel kernel;
};

struct Module {
    void *library = nullptr;
    std::mutex lock;
    std::map<std::string, std::unique_ptr<Function>> functions;
};

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

// --- Modules -------------------------------------------------------------------------------------------------------

/// An image begins with eight letters and its size; a shared object follows.
int load_module(void **handle, const void *image) {
    int status = enter(Call::unsafe);
    if (status != success) return status;
    if (memcmp(image, "SWIFTEMU", 8) != 0) return invalid_image;
    uint64_t size;
    memcpy(&size, (const char *)image + 8, 8);
    char path[] = "/tmp/swiftlet-module-XXXXXX";
    int file = mkstemp(path);
    if (file < 0) return out_of_memory;
    bool written = write(file, (const char *)image + 16, size) == (ssize_t)size;
    close(file);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
    unlink(path);
    if (!library) {
        message() = written ? dlerror() : "no space for a module";
        return invalid_image;
    }
    *(const swiftlet_emulated_calls **)dlsym(library, "swiftlet_calls") = device_calls();
    Module *module = new Module;
    module->library = library;
    *handle = module;
    count_object(1);
    return success;
}

int unload_module(void *handle) {
    int status = enter(Call::unsafe);
    if (status != success && current == nullptr) return status;
    Module *module = (Module *)handle;
    dlclose(module->library);
    delete module;
    count_object(-1);
    return success;
}

int get_function(void **handle, void *module_handle, const char *name) {
    int status = enter(Call::any);
    if (status != success) return status;
    Module *module = (Module *)module_handle;
    std::lock_guard guard(module->lock);
    auto find = [&](const std::string &symbol) { return dlsym(module->library, symbol.c_str()); };
    std::unique_ptr<Function> &function = module->functions[name];
    if (!function) {
        void *call = find(std::string("swiftlet_call_") + name);
        if (!call) {
            module->functions.erase(name);
            return not_found;
        }
        function.reset(new Function{module, {}});
        Kernel &kernel = function->kernel;
        kernel.call = (void (*)(void **))call;
        for (auto *size = ((const int *(*)())find(std::string("swiftlet_sizes_") + name))(); *size; size++)
            kernel.sizes.push_back(*size);
        kernel.most_threads = *(int *)find(std::string("swiftlet_threads_") + name);
        kernel.current = (swiftlet_emulated_thread **)find("swiftlet_current");
        kernel.shared_begin = ((char *(*)())find("swiftlet_shared_begin"))();
        kernel.shared_end = ((char *(*)())find("swiftlet_shared_end"))();
    }
    *handle = function.get();
    return success;
}

int set_function_attribute(void *, int, int) { return enter(Call::any); }

int launch(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
           unsigned block_z, unsigned shared_bytes, void *stream, void **parameters, void **extra) {
    int status = enter(Call::any);
    if (status != success) return status;
    Function *function = (Function *)handle;
    const Kernel &kernel = function->kernel;
    uint64_t threads = (uint64_t)block_x * block_y * block_z;
    bool has_arguments = kernel.sizes.empty() || parameters != nullptr;
    if (grid_x == 0 || grid_y == 0 || grid_z == 0 || threads == 0 || grid_x > 0x7fffffff || grid_y > 65535 ||
        grid_z > 65535 || threads > 1024 || block_z > 64 || shared_bytes != 0 || extra || !has_arguments)
        return invalid_value;
    if (threads > (uint64_t)kernel.most_threads) return out_of_resources;
    Launch work = {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, {}, {}};
    for (size_t i = 0; i < kernel.sizes.size(); i++) {
        size_t words = ((size_t)kernel.sizes[i] + 7) / 8, at = work.arguments.size();
        work.offsets.push_back((int)at);
        work.arguments.resize(at + words);
        memcpy(&work.arguments[at], parameters[i], (size_t)kernel.sizes[i]);
    }
    return enqueue(stream, [function, work] {
        std::lock_guard guard(function->module->lock);
        return run(function->kernel, work);
    });
}

}  // namespace

void count_object(int change) { objects += change; }
const void *current_device() { return current; }

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
    if (status != success && current) current->failure = status;
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
        {"cuModuleLoadData", (void *)load_module},
        {"cuModuleUnload", (void *)unload_module},
        {"cuModuleGetFunction", (void *)get_function},
        {"cuFuncSetAttribute", (void *)set_function_attribute},
        {"cuLaunchKernel", (void *)launch},
    };
    return symbols;
}

}  // namespace emulator

extern "C" int swiftlet_emulator_live_objects(void) { return emulator::objects; }

extern "C" void *swiftlet_emulated_symbol(const char *name) {
    using namespace emulator;
    for (auto *symbols : {&driver_symbols(), &memory_symbols(), &stream_symbols(), &compiler_symbols(), &product_symbols(),
                          &collective_symbols()})
        for (const Symbol &symbol : *symbols)
            if (strcmp(symbol.name, name) == 0) return symbol.address;
    return nullptr;
}

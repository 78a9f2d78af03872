// modules.cpp: modules and launches of the emulated driver.
//
// Invariant: a module is a shared object that compiler.cpp made; its kernels run under its own lock, because what they
// share within a block are its static variables.

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "emulator.h"

namespace emulator {

namespace {

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
    if (status != success && current_device() == nullptr) return status;
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

const std::vector<Symbol> &module_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cuModuleLoadData", (void *)load_module},
        {"cuModuleUnload", (void *)unload_module},
        {"cuModuleGetFunction", (void *)get_function},
        {"cuLaunchKernel", (void *)launch},
    };
    return symbols;
}

}  // namespace emulator

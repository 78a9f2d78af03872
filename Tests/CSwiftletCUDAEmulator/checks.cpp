// checks.cpp: runs the kernels' checks on the emulated driver, by the functions that everybody calls.
//
// Invariant: a check that breaks its device breaks nobody else's.

#include <cstdio>
#include <cstring>
#include <map>

#include "CSwiftletCUDA.h"
#include "emulator.h"

namespace emulator {

namespace {

template <typename Function>
Function symbol(const char *name) {
    return (Function)swiftlet_emulated_symbol(name);
}

/// The file with the kernels of a check.
const std::map<std::string, std::string> files = {
    {"steps and embedding", "steps.cu"},      {"random weights", "steps.cu"},
    {"norms", "norm.cu"},                     {"norms of columns", "norm.cu"},
    {"products", "linear.cu"},                {"rope and cache", "rope.cu"},
    {"attention, one row", "attention_decode.cu"}, {"attention, prompts", "attention_prefill.cu"},
    {"sampling", "sample.cu"},                {"experts", "experts.cu"},
    {"quantised products", "quantized.cu"},   {"quantised layouts", "quantized.cu"},
    {"quantised experts", "quantized.cu"},
};

int index_of(const std::string &name) {
    for (int i = 0; swiftlet_cuda_check_name(i); i++)
        if (name == swiftlet_cuda_check_name(i)) return i;
    return -1;
}

/// The image of a file's kernels; empty, and `text` says why.
std::vector<char> compile(const std::string &file, const swiftlet_cuda_shapes &shapes,
                          const swiftlet_emulator_mutation *mutation, std::string &text) {
    std::map<std::string, std::string> sources;
    for (int i = 0; const char *name = swiftlet_cuda_source_name(i); i++) sources[name] = swiftlet_cuda_source(name, nullptr);
    if (mutation) {
        std::string &source = sources[mutation->file];
        size_t at = source.find(mutation->from);
        if (at == std::string::npos) return text = std::string("no such text: ") + mutation->from, std::vector<char>();
        source.replace(at, strlen(mutation->from), mutation->to);
    }
    // Not the files that are not included: each of their kernels would be looked for.
    std::vector<const char *> names, texts;
    for (auto &[name, source] : sources)
        if (name != file && name.find(".cuh") != std::string::npos) names.push_back(name.c_str()), texts.push_back(source.c_str());
    std::vector<std::string> options = {
        "-DCOMPUTE_FLOAT=" + std::to_string(shapes.compute_float), "-DKV_FP8=" + std::to_string(shapes.kv_fp8),
        "-DHEAD_DIM=" + std::to_string(shapes.head_dim),
        "-DQUERY_HEADS=" + std::to_string(shapes.query_heads), "-DKV_HEADS=" + std::to_string(shapes.kv_heads),
        "-DQUERY_GROUP=" + std::to_string(shapes.query_group), "-DBLOCK_SIZE=" + std::to_string(shapes.block_size),
        "-DSKIPPED_QUERY_HEADS=" + std::to_string(shapes.skipped_query_heads)};
    std::vector<const char *> flags;
    for (const std::string &option : options) flags.push_back(option.c_str());
    void *program = nullptr;
    symbol<int (*)(void **, const char *, const char *, int, const char *const *, const char *const *)>("nvrtcCreateProgram")(
        &program, sources[file].c_str(), file.c_str(), (int)names.size(), texts.data(), names.data());
    int status = symbol<int (*)(void *, int, const char *const *)>("nvrtcCompileProgram")(program, (int)flags.size(), flags.data());
    size_t size = 0;
    symbol<int (*)(void *, size_t *)>("nvrtcGetProgramLogSize")(program, &size);
    text.resize(size);
    symbol<int (*)(void *, char *)>("nvrtcGetProgramLog")(program, text.data());
    symbol<int (*)(void *, size_t *)>("nvrtcGetCUBINSize")(program, &size);
    std::vector<char> image(status == 0 ? size : 0);
    if (status == 0) symbol<int (*)(void *, char *)>("nvrtcGetCUBIN")(program, image.data());
    symbol<int (*)(void **)>("nvrtcDestroyProgram")(&program);
    return image;
}

swiftlet_cuda_calls calls() {
    swiftlet_cuda_calls c = {};
    c.allocate = symbol<decltype(c.allocate)>("cuMemAlloc_v2");
    c.free = symbol<decltype(c.free)>("cuMemFree_v2");
    c.copy_in = symbol<decltype(c.copy_in)>("cuMemcpyHtoD_v2");
    c.copy_out = symbol<decltype(c.copy_out)>("cuMemcpyDtoH_v2");
    c.synchronize = symbol<decltype(c.synchronize)>("cuStreamSynchronize");
    c.find = symbol<decltype(c.find)>("cuModuleGetFunction");
    c.launch = symbol<decltype(c.launch)>("cuLaunchKernel");
    return c;
}

}  // namespace

}  // namespace emulator

extern "C" int swiftlet_emulator_check(const char *name, const struct swiftlet_cuda_shapes *shapes, int order,
                                       const struct swiftlet_emulator_mutation *mutation, char *text, size_t bytes) {
    using namespace emulator;
    int index = index_of(name);
    if (index < 0 || !files.count(name)) return -2;
    PrivateDevice device(order);
    std::string log;
    std::vector<char> image = compile(files.at(name), *shapes, mutation, log);
    void *module = nullptr;
    if (image.empty() || symbol<int (*)(void **, const void *)>("cuModuleLoadData")(&module, image.data()) != success) {
        snprintf(text, bytes, "%s %s", log.c_str(), swiftlet_emulator_message());
        return -2;
    }
    swiftlet_cuda_calls functions = calls();
    message().clear();
    int status = swiftlet_cuda_check(index, &functions, module, shapes, 0, text, bytes);
    size_t used = strlen(text);
    if (status != 0 && used < bytes) snprintf(text + used, bytes - used, " (%s)", message().c_str());
    symbol<int (*)(void *)>("cuModuleUnload")(module);
    return status;
}

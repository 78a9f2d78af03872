// compiler.cpp: NVRTC's stand-in: the toolchain's clang++ makes a shared object of the kernels, as plain C++ on
// device/emulated.h, with ptx.cuh replaced by the emulated one.
//
// Invariant: the same program with the same options is compiled once a process.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <regex>
#include <sstream>

#include "emulator.h"

extern "C" const char *const swiftlet_emulated_header, *const swiftlet_emulated_calls_header,
    *const swiftlet_emulated_ptx;

extern char **environ;

namespace emulator {

namespace {

enum : int { compiled = 0, out_of_space = 1, invalid_input = 3, invalid_program = 4, invalid_option = 5, failed = 6 };

struct Program {
    std::string name;
    std::map<std::string, std::string> files;  // by name, the program itself included
    std::string log, image;
};

struct Result {
    std::mutex lock;
    bool is_done = false;
    int status = failed;
    std::string log, image;
};

std::mutex lock;
std::map<std::string, std::shared_ptr<Result>> results;  // by all that goes in

/// clang++ beside the swift in the path, or in the path.
std::string find_compiler() {
    if (const char *chosen = getenv("SWIFTLET_EMULATOR_CXX")) return chosen;
    std::stringstream path(getenv("PATH") ? getenv("PATH") : "");
    std::string first;
    for (std::string folder; std::getline(path, folder, ':');) {
        char real[PATH_MAX];
        if (realpath((folder + "/swift").c_str(), real)) {
            std::string beside = std::string(real).substr(0, std::string(real).rfind('/')) + "/clang++";
            if (access(beside.c_str(), X_OK) == 0) return beside;
        }
        if (first.empty() && access((folder + "/clang++").c_str(), X_OK) == 0) first = folder + "/clang++";
    }
    return first;
}

const std::string &compiler() {
    static const std::string path = find_compiler();
    return path;
}

std::string read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

/// For each kernel, a function that calls it with arguments in memory, their sizes, and how many threads it takes.
std::string calls_of(const Program &program) {
    static const std::regex kernel("__global__\\s+void\\s+(?:__launch_bounds__\\(([^,)]*)[^)]*\\)\\s*)?(\\w+)\\s*\\(");
    std::string calls;
    for (auto &[name, text] : program.files)
        for (std::sregex_iterator match(text.begin(), text.end(), kernel), end; match != end; ++match) {
            std::string threads = (*match)[1].str().empty() ? "1024" : (*match)[1].str(), name = (*match)[2];
            calls += "extern \"C\" { void swiftlet_call_" + name + "(void **p) { emulated_call(" + name + ", p); }\n" +
                     "const int *swiftlet_sizes_" + name + "() { return emulated_sizes(" + name + "); }\n" +
                     "extern const int swiftlet_threads_" + name + "; const int swiftlet_threads_" + name + " = " +
                     threads + "; }\n";
        }
    return calls;
}

/// Runs a command without a shell; its output goes to `log`.
int execute(const std::vector<std::string> &command, const std::string &log) {
    std::vector<char *> arguments;
    for (const std::string &word : command) arguments.push_back(const_cast<char *>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t child;
    int status = posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (status != 0 || waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void compile(const Program &program, const std::vector<std::string> &defines, Result &result) {
    char folder[] = "/tmp/swiftlet-kernels-XXXXXX";
    if (!mkdtemp(folder)) return;
    std::string base = std::string(folder) + "/";
    std::map<std::string, std::string> files = program.files;
    files["ptx.cuh"] = swiftlet_emulated_ptx;
    files["emulated.h"] = swiftlet_emulated_header;
    files["emulated_calls.h"] = swiftlet_emulated_calls_header;
    files["main.cpp"] = "#include \"emulated.h\"\n#include \"" + program.name + "\"\n" + calls_of(program);
    files["log"] = files["object.so"] = "";
    for (auto &[name, text] : files) std::ofstream(base + name, std::ios::binary) << text;
    std::vector<std::string> command = {
        compiler(), "-x", "c++", "-std=c++17", "-O2", "-march=native", "-fPIC", "-shared", "-fno-exceptions", "-fno-rtti",
        "-fno-strict-aliasing", "-fno-math-errno", "-fsanitize=alignment,bounds", "-fsanitize-trap=alignment,bounds",
        "-Wno-unused", "-Wno-pass-failed", "-Wno-unknown-pragmas", "-nostdlib++", "-o", base + "object.so",
        base + "main.cpp"};
    command.insert(command.end(), defines.begin(), defines.end());
    result.status = execute(command, base + "log") == 0 ? compiled : failed;
    result.log = read(base + "log");
    std::string object = read(base + "object.so");
    uint64_t size = object.size();
    result.image = std::string("SWIFTEMU") + std::string((const char *)&size, 8) + object;
    for (auto &[name, text] : files) unlink((base + name).c_str());
    rmdir(folder);
}

// --- NVRTC -----------------------------------------------------------------------------------------------------------

int version(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return compiled;
}

const char *error_string(int status) {
    switch (status) {
    case compiled: return "NVRTC_SUCCESS";
    case invalid_input: return "NVRTC_ERROR_INVALID_INPUT";
    case invalid_program: return "NVRTC_ERROR_INVALID_PROGRAM";
    case invalid_option: return "NVRTC_ERROR_INVALID_OPTION";
    case failed: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR unknown";
    }
}

int create_program(void **handle, const char *source, const char *name, int count, const char *const *texts,
                   const char *const *names) {
    if (!source || count < 0) return invalid_input;
    Program *program = new Program;
    program->name = name ? name : "default_program";
    for (int i = 0; i < count; i++) program->files[names[i]] = texts[i];
    program->files[program->name] = source;
    *handle = program;
    count_object(1);
    return compiled;
}

int destroy_program(void **handle) {
    if (!*handle) return invalid_program;
    delete (Program *)*handle;
    *handle = nullptr;
    count_object(-1);
    return compiled;
}

/// The options that are known; only definitions mean something here.
bool take(const std::string &option, std::vector<std::string> &defines) {
    if (option.rfind("-D", 0) == 0 && option.size() > 2) {
        defines.push_back(option);
        return true;
    }
    for (const char *known : {"--gpu-architecture=sm_", "-arch=sm_", "--std=c++", "-std=c++", "-default-device",
                              "--ptxas-options=", "-lineinfo", "--fmad="})
        if (option.rfind(known, 0) == 0) return true;
    return false;
}

int compile_program(void *handle, int count, const char *const *options) {
    Program *program = (Program *)handle;
    std::vector<std::string> defines;
    std::string key;
    for (int i = 0; i < count; i++) {
        if (!take(options[i], defines)) {
            program->log = std::string("unrecognized option ") + options[i];
            return invalid_option;
        }
    }
    for (const std::string &define : defines) key += define + "\n";
    for (auto &[name, text] : program->files) key += name + "\n" + text + "\n";
    std::shared_ptr<Result> result;
    {
        std::lock_guard guard(lock);
        std::shared_ptr<Result> &known = results[key];
        if (!known) known = std::make_shared<Result>();
        result = known;
    }
    std::lock_guard guard(result->lock);
    if (!result->is_done) compile(*program, defines, *result);
    result->is_done = true;
    program->log = result->log;
    program->image = result->image;
    return result->status;
}

int log_size(void *handle, size_t *size) {
    *size = ((Program *)handle)->log.size() + 1;
    return compiled;
}
int get_log(void *handle, char *log) {
    strcpy(log, ((Program *)handle)->log.c_str());
    return compiled;
}
int image_size(void *handle, size_t *size) {
    *size = ((Program *)handle)->image.size();
    return compiled;
}
int get_image(void *handle, char *image) {
    const std::string &made = ((Program *)handle)->image;
    memcpy(image, made.data(), made.size());
    return compiled;
}

}  // namespace

const std::vector<Symbol> &compiler_symbols() {
    static const std::vector<Symbol> symbols = {
        {"nvrtcVersion", (void *)version},
        {"nvrtcGetErrorString", (void *)error_string},
        {"nvrtcCreateProgram", (void *)create_program},
        {"nvrtcDestroyProgram", (void *)destroy_program},
        {"nvrtcCompileProgram", (void *)compile_program},
        {"nvrtcGetProgramLogSize", (void *)log_size},
        {"nvrtcGetProgramLog", (void *)get_log},
        {"nvrtcGetCUBINSize", (void *)image_size},
        {"nvrtcGetCUBIN", (void *)get_image},
    };
    return symbols;
}

}  // namespace emulator

extern "C" int swiftlet_emulator_is_available(void) { return !emulator::compiler().empty(); }

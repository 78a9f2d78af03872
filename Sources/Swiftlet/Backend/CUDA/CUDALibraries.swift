// CUDALibraries: where the functions of CUDA's libraries come from: from shared libraries that are opened when first
// needed, or, in tests, from a stand-in. Nothing of CUDA is needed to build.
//
// Invariant: whoever asks for a function gets it or an error that names the library, the package that has it and where
// was looked; nothing is opened before.

import Synchronization

package struct CUDALibraries: Sendable {
    package enum Name: String, Sendable, CaseIterable {
        case driver, compiler, blas, collectives
    }

    /// The address of a function.
    let address: @Sendable (Name, String) throws(LLMError) -> UnsafeMutableRawPointer

    /// - Parameter lookup: Address of a function, nil when there is none of this name.
    package init(lookup: @escaping @Sendable (String) -> UnsafeMutableRawPointer?) {
        address = { (name, symbol) throws(LLMError) in
            guard let address = lookup(symbol) else {
                throw LLMError(.invalidConfiguration, "there is no \(symbol) (\(name.rawValue))")
            }
            return address
        }
    }

    /// Those of this machine.
    package init(search: CUDASearch = CUDASearch()) {
        let opened = Opened(search)
        address = { (name, symbol) throws(LLMError) in try opened.library(name).address(symbol) }
    }

    func function<Function>(_ name: Name, _ symbol: String) throws(LLMError) -> Function {
        unsafeBitCast(try address(name, symbol), to: Function.self)
    }

    /// The libraries that are open.
    private final class Opened: Sendable {
        private let search: CUDASearch
        private let libraries = Mutex<[Name: DynamicLibrary]>([:])

        init(_ search: CUDASearch) { self.search = search }

        func library(_ name: Name) throws(LLMError) -> DynamicLibrary {
            if let library = libraries.withLock({ $0[name] }) { return library }
            let library = try search.open(name)
            libraries.withLock { $0[name] = library }
            return library
        }
    }
}

/// Where CUDA's libraries are looked for, in this order: the folders of SWIFTLET_CUDA_LIBRARY_PATH, those of
/// LD_LIBRARY_PATH, NVIDIA's wheels in the active Python, CUDA's toolkit, and where the system's loader looks.
package struct CUDASearch: Sendable {
    /// Folders that are searched before the system's own.
    package let folders: [String]

    package init(
        environment: @Sendable (String) -> String? = { Platform.environment($0) }, root: String = ""
    ) {
        func list(_ variable: String) -> [String] {
            (environment(variable) ?? "").split(separator: ":").map { String($0) }
        }
        var folders = list("SWIFTLET_CUDA_LIBRARY_PATH") + list("LD_LIBRARY_PATH")
        for prefix in Self.pythonPrefixes(environment, root) { folders += Self.wheelFolders(prefix) }
        for variable in ["CUDA_HOME", "CUDA_PATH"] {
            if let toolkit = environment(variable), !toolkit.isEmpty { folders.append(toolkit + "/lib64") }
        }
        let local = root + "/usr/local"
        let toolkits = (Platform.listDirectory(local) ?? []).filter { $0.hasPrefix("cuda") }
        // The plain name is a link to the one that the administrator chose; newer ones stand behind older ones.
        folders += toolkits.sorted { ($0 == "cuda" ? 0 : 1, $1) < ($1 == "cuda" ? 0 : 1, $0) }
            .map { "\(local)/\($0)/lib64" }
        self.folders = folders.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Of the active Python: an environment's, else that of the first python3 in PATH; then the user's and the system's.
    private static func pythonPrefixes(_ environment: (String) -> String?, _ root: String) -> [String] {
        var prefixes = ["VIRTUAL_ENV", "CONDA_PREFIX"].compactMap { environment($0) }.filter { !$0.isEmpty }
        for folder in (environment("PATH") ?? "").split(separator: ":") where folder.hasSuffix("/bin") {
            if Platform.kind(of: folder + "/python3") == .regular {
                prefixes.append(String(folder.dropLast(4)))
                break
            }
        }
        if let home = environment("HOME"), !home.isEmpty { prefixes.append(home + "/.local") }
        return prefixes + [root + "/usr/local", root + "/usr"]
    }

    /// Folders of libraries in NVIDIA's wheels.
    private static func wheelFolders(_ prefix: String) -> [String] {
        var folders: [String] = []
        for python in Platform.listDirectory(prefix + "/lib") ?? [] where python.hasPrefix("python3") {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = "\(prefix)/lib/\(python)/\(packages)/nvidia"
                for wheel in Platform.listDirectory(nvidia) ?? [] {
                    let folder = "\(nvidia)/\(wheel)/lib"
                    if Platform.kind(of: folder) == .directory { folders.append(folder) }
                }
            }
        }
        return folders
    }

    /// Opens a library, and before it what it needs and would not find by itself.
    package func open(_ name: CUDALibraries.Name) throws(LLMError) -> DynamicLibrary {
        switch name {
        case .compiler:
            // It opens its built-ins by their bare name.
            for folder in folders {
                let builtins = (Platform.listDirectory(folder) ?? []).filter { $0.hasPrefix("libnvrtc-builtins.so") }
                for file in builtins { _ = try? DynamicLibrary([folder + "/" + file], purpose: "") }
            }
        // Its own copy of the compiler would not find the built-ins either.
        case .blas: _ = try? open(.compiler)
        // From 2.22 on NCCL connects ranks in the first operation that needs it, and one that has failed by then would keep
        // the others in a call that no abort ends. All have come to the joining.
        case .collectives: Platform.setEnvironmentDefault("NCCL_RUNTIME_CONNECT", "0")
        case .driver: break
        }
        let files = files(of: name)
        return try DynamicLibrary(paths(of: files), purpose: shortage(of: name, files))
    }

    private func files(of name: CUDALibraries.Name) -> [String] {
        name.files(driverVersion: name == .driver ? nil : driverVersion())
    }

    private func paths(of files: [String]) -> [String] {
        files.flatMap { file in folders.map { $0 + "/" + file } + [file] }
    }

    /// Why a library can't be opened, in a line that does not say where was looked; `error` where it lies in one of the
    /// folders.
    func problem(of name: CUDALibraries.Name, _ error: LLMError) -> String {
        let files = files(of: name)
        let isThere = paths(of: files).contains { $0.contains("/") && Platform.kind(of: $0) == .regular }
        guard !isThere else { return error.message }
        return "no \(files.joined(separator: " or ")): \(name.source)"
    }

    /// A driver runs programs of its own major version and of older ones.
    private func driverVersion() -> Int32? {
        guard let driver = try? open(.driver) else { return nil }
        typealias Function = @convention(c) (UnsafeMutablePointer<Int32>) -> Int32
        guard let function: Function = try? driver.function("cuDriverGetVersion") else { return nil }
        var version: Int32 = 0
        return function(&version) == 0 ? version : nil
    }

    private func shortage(of name: CUDALibraries.Name, _ files: [String]) -> String {
        let looked = folders.isEmpty ? "" : folders.joined(separator: ", ") + " and "
        return
            "\(files.joined(separator: " or ")) (\(name.purpose)) was not found: \(name.source), or name its folder in "
            + "SWIFTLET_CUDA_LIBRARY_PATH, or use --device cpu; looked in \(looked)where the system's loader looks"
    }
}

extension CUDALibraries.Name {
    /// File names, the one to be preferred first.
    func files(driverVersion: Int32?) -> [String] {
        let versions = (driverVersion ?? 13000) < 13000 ? ["12", "13"] : ["13", "12"]
        switch self {
        case .driver: return ["libcuda.so.1"]
        case .compiler: return versions.map { "libnvrtc.so." + $0 }
        case .blas: return versions.map { "libcublasLt.so." + $0 }
        case .collectives: return ["libnccl.so.2"]
        }
    }

    var purpose: String {
        switch self {
        case .driver: "NVIDIA's driver"
        case .compiler: "NVRTC, CUDA's run-time compiler"
        case .blas: "cublasLt, matrix products"
        case .collectives: "NCCL, sums between GPUs"
        }
    }

    /// How to get it.
    var source: String {
        switch self {
        case .driver: "install NVIDIA's driver (in a container, start it with the GPU)"
        case .compiler: "pip install nvidia-cuda-nvrtc==13.0.88 (with a driver of CUDA 12: nvidia-cuda-nvrtc-cu12)"
        case .blas: "pip install nvidia-cublas==13.1.0.3 (with a driver of CUDA 12: nvidia-cublas-cu12)"
        case .collectives: "pip install nvidia-nccl-cu13==2.28.9 (with a driver of CUDA 12: nvidia-nccl-cu12)"
        }
    }

    /// A function that every version of it has.
    var anyFunction: String {
        switch self {
        case .driver: "cuDriverGetVersion"
        case .compiler: "nvrtcVersion"
        case .blas: "cublasLtGetVersion"
        case .collectives: "ncclGetVersion"
        }
    }
}

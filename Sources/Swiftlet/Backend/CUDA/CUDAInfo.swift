// CUDAInfo: what a bug report has to say about GPUs: which there are, and which of CUDA's libraries were found where.
// A value, taken when it is asked for.
// Invariant: nothing here fails: what is missing is said.

/// NVIDIA's GPUs of this machine and the libraries that they need.
public struct CUDAInfo: Sendable, Hashable {
    /// A GPU that the driver shows.
    public struct GPU: Sendable, Hashable {
        public var name: String
        /// Such as `9.0`.
        public var computeCapability: String
        /// Bytes.
        public var memory: Int
        public var multiprocessorCount: Int
    }

    /// One of CUDA's libraries.
    public struct Library: Sendable, Hashable {
        /// What it is for.
        public var purpose: String
        /// The file; nil when it was not found.
        public var path: String?
        /// Why it can't be used, and how to get it.
        public var problem: String?
    }

    public var gpus: [GPU] = []
    /// Such as `13.0`: the newest CUDA that the driver runs.
    public var driverVersion: String?
    /// Why there is no GPU.
    public var problem: String?
    public var libraries: [Library]
    /// Folders that were searched, before those of the system's loader.
    public var searchedFolders: [String]

    /// Looks at the machine.
    public init() {
        let search = CUDASearch()
        searchedFolders = search.folders
        libraries = CUDALibraries.Name.allCases.map { name in
            do throws(LLMError) {
                let library = try search.open(name)
                return Library(purpose: name.purpose, path: library.path(of: name.anyFunction))
            } catch {
                return Library(purpose: name.purpose, problem: search.problem(of: name, error))
            }
        }
        do throws(LLMError) {
            let found = try Self.devices(CUDALibraries(search: search))
            driverVersion = found.first.map { Self.version($0.driverVersion) }
            gpus = found.map {
                GPU(
                    name: $0.name, computeCapability: "\($0.architecture / 10).\($0.architecture % 10)",
                    memory: $0.memory, multiprocessorCount: $0.multiprocessorCount)
            }
        } catch {
            problem = error.message
        }
    }

    /// 13010 is 13.1.
    private static func version(_ number: Int) -> String { "\(number / 1000).\(number % 1000 / 10)" }

    /// All GPUs.
    ///
    /// - Throws: `invalidConfiguration` when there are none, or no driver.
    static func devices(_ libraries: CUDALibraries) throws(LLMError) -> [CUDADescription] {
        let driver = try CUDADriver(libraries)
        try driver.check(driver.initialize(0), "looking for GPUs")
        var count: Int32 = 0
        try driver.check(driver.deviceCount(&count), "counting GPUs")
        var found = [try CUDADescription(driver, ordinal: 0)]
        for ordinal in 1..<max(1, Int(count)) { found.append(try CUDADescription(driver, ordinal: ordinal)) }
        return found
    }
}

// CUDACompiler: NVRTC, which compiles this engine's kernels for one GPU and one model's shapes, through the cache.
// Invariant: what it gives is machine code for exactly that GPU (a CUBIN), never PTX, which an older driver may refuse.

package struct CUDACompiler: Sendable {
    private typealias Handle = UnsafeMutableRawPointer
    private typealias Text = UnsafePointer<CChar>
    private typealias Texts = UnsafePointer<Text?>

    /// A source and what it may include.
    package struct Program: Sendable {
        package var name: String
        package var source: String
        /// Text by name.
        package var headers: [(name: String, source: String)]

        package init(name: String, source: String, headers: [(name: String, source: String)]) {
            self.name = name
            self.source = source
            self.headers = headers
        }
    }

    private let create:
        @Sendable @convention(c) (UnsafeMutablePointer<Handle?>, Text, Text, Int32, Texts?, Texts?) -> Int32
    private let destroy: @Sendable @convention(c) (UnsafeMutablePointer<Handle?>) -> Int32
    private let compile: @Sendable @convention(c) (Handle, Int32, Texts) -> Int32
    private let codeSize: @Sendable @convention(c) (Handle, UnsafeMutablePointer<Int>) -> Int32
    private let code: @Sendable @convention(c) (Handle, UnsafeMutableRawPointer) -> Int32
    private let logSize: @Sendable @convention(c) (Handle, UnsafeMutablePointer<Int>) -> Int32
    private let log: @Sendable @convention(c) (Handle, UnsafeMutableRawPointer) -> Int32
    private let errorText: @Sendable @convention(c) (Int32) -> Text?
    /// 13.0, for example.
    package let version: String

    package init(_ libraries: CUDALibraries) throws(LLMError) {
        create = try libraries.function(.compiler, "nvrtcCreateProgram")
        destroy = try libraries.function(.compiler, "nvrtcDestroyProgram")
        compile = try libraries.function(.compiler, "nvrtcCompileProgram")
        codeSize = try libraries.function(.compiler, "nvrtcGetCUBINSize")
        code = try libraries.function(.compiler, "nvrtcGetCUBIN")
        logSize = try libraries.function(.compiler, "nvrtcGetProgramLogSize")
        log = try libraries.function(.compiler, "nvrtcGetProgramLog")
        errorText = try libraries.function(.compiler, "nvrtcGetErrorString")
        let getVersion: @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32 =
            try libraries.function(.compiler, "nvrtcVersion")
        var (major, minor): (Int32, Int32) = (0, 0)
        guard getVersion(&major, &minor) == 0 else { throw LLMError(.engineFailed, "NVRTC does not say its version") }
        version = "\(major).\(minor)"
    }

    /// The machine code of a program; from the cache if it is there.
    package func cubin(_ program: Program, options: [String], cache: CubinCache?) throws(LLMError) -> [UInt8] {
        let key = CubinCache.Key(
            ["nvrtc \(version)", program.name] + options,
            [program.source] + program.headers.flatMap { [$0.name, $0.source] })
        if let code = cache?.read(key) { return code }
        let code = try compile(program, options)
        cache?.write(code, key)
        return code
    }

    /// Compiles all of them at once, a thread each.
    package func cubins(
        _ programs: [Program], options: [String], cache: CubinCache?
    ) throws(LLMError) -> [[UInt8]] {
        var jobs: [Deferred<[UInt8]>] = []
        for program in programs {
            jobs.append(
                try Deferred { () throws(LLMError) in try cubin(program, options: options, cache: cache) })
        }
        // All are waited for: their threads must not outlive a caller that ends the process.
        let results = jobs.map { job in Result { () throws(LLMError) in try job.value() } }
        var codes: [[UInt8]] = []
        for result in results { codes.append(try result.get()) }
        return codes
    }

    private func compile(_ program: Program, _ options: [String]) throws(LLMError) -> [UInt8] {
        var handle: Handle?
        let made = Self.withTexts(program.headers.map(\.source)) { sources in
            Self.withTexts(program.headers.map(\.name)) { names in
                create(&handle, program.source, program.name, Int32(program.headers.count), sources, names)
            }
        }
        guard made == 0, let opened = handle else { throw failure(made, program, "") }
        defer { _ = destroy(&handle) }
        let status = Self.withTexts(options) { compile(opened, Int32(options.count), $0) }
        guard status == 0 else { throw failure(status, program, messages(opened)) }
        var size = 0
        let asked = codeSize(opened, &size)
        guard asked == 0, size > 0 else { throw failure(asked, program, "it gave no machine code") }
        var bytes = [UInt8](repeating: 0, count: size)
        let got = bytes.withUnsafeMutableBytes { code(opened, $0.baseAddress!) }
        guard got == 0 else { throw failure(got, program, "") }
        return bytes
    }

    private func messages(_ program: Handle) -> String {
        var size = 0
        guard logSize(program, &size) == 0, size > 1 else { return "" }
        var bytes = [UInt8](repeating: 0, count: size)
        guard bytes.withUnsafeMutableBytes({ log(program, $0.baseAddress!) }) == 0 else { return "" }
        return String(decoding: bytes.prefix { $0 != 0 }.prefix(4096), as: UTF8.self)
    }

    private func failure(_ status: Int32, _ program: Program, _ messages: String) -> LLMError {
        let text = errorText(status).map { String(cString: $0) } ?? "status \(status)"
        return LLMError(.engineFailed, "NVRTC \(version) can't compile \(program.name) (\(text)): \(messages)")
    }

    /// Lends C strings.
    private static func withTexts<Result>(_ texts: [String], _ body: (Texts) -> Result) -> Result {
        let copies = texts.map { text in
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.utf8.count + 1)
            copy.initialize(from: text.utf8CString.map { $0 }, count: text.utf8.count + 1)
            return Text(copy)
        }
        defer { for copy in copies { copy.deallocate() } }
        let pointers = copies.map { Optional($0) } + [nil]
        return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
    }
}

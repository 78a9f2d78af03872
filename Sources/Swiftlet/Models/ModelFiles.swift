// ModelFiles: where the files of a model come from: a directory in Hugging Face's layout, or the binary itself.
// Everything above asks for files by name and never sees which it is. Small files are read whole, within a limit;
// weights are mapped.
// Invariant: a name is a plain file name; nothing outside the directory is ever opened by what a file says.

package struct ModelFiles: Sendable {
    /// A file in the binary; no base address: there is none. The bytes live as long as the process.
    package typealias EmbeddedFile = @Sendable () -> UnsafeRawBufferPointer

    private enum Source: Sendable {
        case directory
        case embedded([String: EmbeddedFile])
    }

    /// The directory's path, or what the embedded model is called.
    package let name: String
    private let source: Source

    package enum Limits {
        package static let config = 16 << 20
        package static let tokenizer = 256 << 20
    }

    /// A directory. It must be there and hold a config.json; the message says what else was found.
    package init(directory path: String) throws(LLMError) {
        name = path
        source = .directory
        switch Platform.kind(of: path) {
        case .directory: break
        case .missing:
            // OWNER/NAME, as models are called on the hub.
            let isHubName = path.split(separator: "/").count == 2 && !path.hasPrefix("/") && !path.hasPrefix(".")
            throw LLMError(
                .inputOutput,
                "\(path) does not exist; a model is a directory with config.json and weights"
                    + (isHubName ? ". For a model of the Hugging Face hub, give the folder it was downloaded to" : ""))
        case .regular, .other:
            let file = String(path.split(separator: "/").last ?? "")
            let found = ForeignFormat.describe(file).map { "; found \($0)" } ?? ""
            throw LLMError(
                .unsupportedModel,
                "\(path) is not a directory\(found). A model is a directory in Hugging Face's layout: "
                    + SupportedModels.layout)
        }
        guard Platform.listDirectory(path) != nil else {
            throw LLMError(.inputOutput, "\(path) can't be read; check its permissions")
        }
        guard contains("config.json") else {
            throw LLMError(.invalidModel, "\(path) has no config.json\(foundInstead())")
        }
    }

    /// A directory that has no model but what belongs to its text: tokenizer and chat templates.
    package init(tokenizerDirectory path: String) {
        name = path
        source = .directory
    }

    /// Files in the binary, by name.
    package init(name: String, embedded files: [String: EmbeddedFile]) {
        self.name = name
        source = .embedded(files)
    }

    package func contains(_ file: String) -> Bool {
        guard Self.isPlainName(file) else { return false }
        switch source {
        case .directory: return Platform.kind(of: path(of: file)) != .missing
        case .embedded(let files): return files[file]?().baseAddress != nil
        }
    }

    /// How messages call a file.
    package func path(of file: String) -> String { name.hasSuffix("/") ? name + file : "\(name)/\(file)" }

    /// The bytes of a small file; nil if there is none.
    package func data(_ file: String, limit: Int = Limits.config) throws(LLMError) -> [UInt8]? {
        guard contains(file) else { return nil }
        switch source {
        case .directory: return try Platform.readFile(path(of: file), limit: limit)
        case .embedded(let files): return files[file].map { Array($0()) }
        }
    }

    /// The files in a folder inside of the directory; none for what is in the binary.
    package func names(in folder: String) -> [String] {
        guard case .directory = source, Self.isPlainName(folder) else { return [] }
        return (Platform.listDirectory(path(of: folder)) ?? []).filter { Self.isPlainName($0) }
    }

    /// The bytes of a small file in a folder inside of the directory; nil if there is none.
    package func data(_ file: String, in folder: String, limit: Int = Limits.config) throws(LLMError) -> [UInt8]? {
        guard case .directory = source, Self.isPlainName(folder), Self.isPlainName(file) else { return nil }
        let path = path(of: folder) + "/" + file
        return Platform.kind(of: path) == .missing ? nil : try Platform.readFile(path, limit: limit)
    }

    /// A weights file; nil if there is none.
    package func weights(_ file: String) throws(LLMError) -> Safetensors? {
        guard contains(file) else { return nil }
        switch source {
        case .directory: return try Safetensors(path: path(of: file))
        case .embedded(let files):
            guard let bytes = files[file] else { return nil }
            return try Safetensors(bytes: bytes(), name: path(of: file))
        }
    }

    /// config.json and what stands beside it.
    package func config() throws(LLMError) -> ModelConfig {
        guard let config = try data("config.json") else {
            throw LLMError(.invalidModel, "\(name) has no config.json\(foundInstead())")
        }
        do {
            return try ModelConfig(
                config: config, generation: try data("generation_config.json"),
                tokenizer: try data("tokenizer_config.json"))
        } catch {
            // The parser names the file; the directory is known here.
            throw LLMError(error.code, path(of: error.message))
        }
    }

    /// False for what could lead out of the directory.
    package static func isPlainName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && name.utf8.count <= 255
            && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
    }

    /// For "there is no …" messages: the weights of other formats that were found, and what is supported.
    func foundInstead() -> String {
        guard case .directory = source else { return "" }
        let found = (Platform.listDirectory(name) ?? []).sorted().compactMap { ForeignFormat.describe($0) }
        guard !found.isEmpty else { return "" }
        let listed = found.prefix(3).joined(separator: ", ") + (found.count > 3 ? ", …" : "")
        return "; found \(listed). Supported is Hugging Face's layout: \(SupportedModels.layout)"
    }
}

// What the tests of downloads share: models for the test hub, limits that make failures quick, a look into the cache.

#if Server
import Swiftlet
import SwiftletHub
import SwiftletTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What a link says.
func linkTarget(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
    return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
}

/// The same number as long as the link itself is the same.
func linkIdentity(_ path: String) -> UInt64? {
    var status = stat()
    return lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
}

/// Bytes of a file.
func size(_ path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : nil
}

/// A Python that has Hugging Face's own library.
let python = getenv("SWIFTLET_HUGGINGFACE_HUB").map { String(cString: $0) }

enum Shell {
    /// Runs a line of the shell; its exit code.
    static func run(_ line: String) -> Int32 {
        var process: pid_t = 0
        let line: [String] = ["/bin/sh", "-c", line + " 2>/dev/null"]
        let words = line.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        guard posix_spawn(&process, "/bin/sh", nil, nil, words, environ) == 0 else { return -1 }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -1
    }
}

enum TestModels {
    static let commit = String(repeating: "0123456789abcdef", count: 3).prefix(40).description
    static let name = "acme/tiny-model"

    static let config = Array(
        """
        {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64,
         "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "head_dim": 16, "vocab_size": 512, "max_position_embeddings": 65536, "rms_norm_eps": 1e-6,
         "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu", "torch_dtype": "float32",
         "eos_token_id": 1}
        """.utf8)

    static func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    /// What a model's page usually has, with weights that are none.
    static func usual(weightBytes: Int = 300_000) -> TestHub.Model {
        TestHub.Model(
            commit: commit,
            files: [
                "config.json": config, "generation_config.json": Array("{}".utf8),
                "tokenizer.json": Array("{\"version\": \"1.0\"}".utf8),
                "tokenizer_config.json": Array("{\"a\": 1}".utf8),
                "chat_template.jinja": Array("{{ messages }}".utf8),
                "additional_chat_templates/tool_use.jinja": Array("{{ tools }}".utf8),
                "model.safetensors": bytes(weightBytes), "README.md": Array("# Tiny".utf8),
                ".gitattributes": Array("*.bin".utf8), "pytorch_model.bin": bytes(5000, seed: 2),
                "onnx/model.onnx": bytes(5000, seed: 3), "modeling_tiny.py": Array("import os".utf8),
            ],
            large: ["model.safetensors", "pytorch_model.bin", "onnx/model.onnx"])
    }

    static let wanted = [
        "additional_chat_templates", "chat_template.jinja", "config.json", "generation_config.json",
        "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]
}

/// A hub with one model, an empty cache, and limits that make failures quick.
struct PullBench {
    let hub: TestHub
    let folder: TemporaryFolder
    var settings: HubSettings

    init(_ model: TestHub.Model = TestModels.usual()) throws {
        hub = try TestHub()
        hub.add(TestModels.name, model)
        folder = try TemporaryFolder()
        settings = HubSettings(
            endpoint: try #require(HubURL(hub.address)), token: "hf_secret",
            cache: HubCache(path: folder.path + "/hub"))
        settings.connectTimeout = .seconds(2)
        settings.answerTimeout = .seconds(60)
        settings.firstPause = .milliseconds(2)
        settings.longestPause = .milliseconds(20)
        settings.growth = 50_000
        settings.lockPause = .milliseconds(5)
    }

    var model: HubModelID { HubModelID(TestModels.name)! }
    var modelFolder: String { settings.cache.folder(of: model) }
    var snapshot: String { settings.cache.snapshot(TestModels.commit, of: model) }

    @discardableResult
    func pull(
        revision: String? = nil, contents: Hub.Contents = .model,
        progress: (@Sendable (Hub.Progress) -> Void)? = nil
    ) async throws -> String {
        try await Hub.pull(
            TestModels.name, revision: revision, contents: contents, settings: settings, progress: progress)
    }

    /// The message of the pull's failure.
    func failure(revision: String? = nil, sourceLocation: SourceLocation = #_sourceLocation) async -> String {
        do {
            let folder = try await pull(revision: revision)
            Issue.record("the pull succeeded: \(folder)", sourceLocation: sourceLocation)
            return ""
        } catch let error as LLMError {
            return error.message
        } catch {
            Issue.record(error, sourceLocation: sourceLocation)
            return ""
        }
    }

    // MARK: The cache

    var blobs: [String] { Platform.listDirectory(modelFolder + "/blobs") ?? [] }
    var reference: String? { readFile(modelFolder + "/refs/main").map { String(decoding: $0, as: UTF8.self) } }

    func expectWhole(_ model: TestHub.Model, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(
            readFile(snapshot + "/model.safetensors") == model.files["model.safetensors"],
            sourceLocation: sourceLocation)
        #expect(readFile(snapshot + "/config.json") == model.files["config.json"], sourceLocation: sourceLocation)
        #expect(reference == TestModels.commit, sourceLocation: sourceLocation)
        #expect(!blobs.contains { $0.hasSuffix(".incomplete") }, sourceLocation: sourceLocation)
    }

    /// No half model: nothing that a reader of the cache would take for one.
    func expectNothing(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(reference == nil, sourceLocation: sourceLocation)
        #expect(Platform.listDirectory(modelFolder + "/snapshots") == nil, sourceLocation: sourceLocation)
    }

    /// Whether the weights were asked for anew from these places on; nil is the start. What was still in the buffers of
    /// a broken connection is lost, so that a place is only an upper bound.
    func resumed(at places: [Int?]) -> Bool {
        let starts = hub.downloads(of: "model.safetensors").map(\.rangeStart)
        return starts.count >= places.count
            && zip(starts, places).allSatisfy { start, place in
                if let start, let place { return start > 0 && start <= place }
                return start == nil && place == nil
            }
    }

    func write(_ bytes: [UInt8], to path: String) throws {
        let name = String(path.dropFirst(folder.path.count + 1))
        try folder.makeFolder(name.split(separator: "/").dropLast().joined(separator: "/"))
        try folder.write(bytes, name)
    }

    /// Answers the first request for the weights by the other host in another way.
    func breakWeights(times: Int = 1, _ change: @escaping @Sendable (inout TestHub.Reply) -> Void) {
        let model = TestModels.name
        let (models, other) = ([model: TestModels.usual()], hub.otherAddress)
        hub.behave { request, count in
            guard request.path.hasPrefix("/cdn/"), count < times else { return nil }
            var reply = TestHub.honest(request, models, otherAddress: other)
            change(&reply)
            return reply
        }
    }
}
#endif

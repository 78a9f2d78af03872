// Checkpoint and ModelFiles: single files, shards, what is missing, left over or somewhere it must not be.

import Foundation
import Swiftlet
import Testing

@Suite struct CheckpointTests {
    typealias Entry = LoaderFixtures.Entry

    private func withModel(
        _ files: [String: [UInt8]], config: Bool = true, _ body: (_ directory: String) throws -> Void
    ) throws {
        try LoaderFixtures.withDirectory { directory in
            if config { try LoaderFixtures.write("{}", directory + "/config.json") }
            for (name, bytes) in files { try LoaderFixtures.write(bytes, "\(directory)/\(name)") }
            try body(directory)
        }
    }

    private func index(_ map: [String: String]) -> [UInt8] {
        let members = map.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \"\($0.value)\"" }
        return Array("{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\(members.joined(separator: ", "))}}".utf8)
    }

    private func openMessage(_ directory: String) -> String? {
        LoaderFixtures.message { _ = try Checkpoint(ModelFiles(directory: directory)) }
    }

    private func floats(_ tensor: Checkpoint.Tensor) -> [Float] {
        tensor.withBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
    }

    @Test func takesTensorsOfASingleFile() throws {
        let file = LoaderFixtures.file([Entry(counting: "a", [2, 2]), Entry("b", "BF16", [1], [0, 0])])
        try withModel(["model.safetensors": file]) { directory in
            let checkpoint = try Checkpoint(ModelFiles(directory: directory))
            #expect(checkpoint.tensorNames == ["a", "b"] && checkpoint.contains("a") && !checkpoint.contains("c"))
            #expect(checkpoint.byteCount == 18)
            let a = try checkpoint.take("a", shape: [2, 2])
            #expect(floats(a) == [0, 1, 2, 3] && a.elementCount == 4 && a.type == .float32)
            #expect(
                LoaderFixtures.message { try checkpoint.finish(unused: .init(), hasTiedHead: false) }
                    == "\(directory): unused tensor b: the weights do not belong to this config.json, or the model has "
                    + "parts that are not supported")
            _ = try checkpoint.take("b", shape: [1])
            try checkpoint.finish(unused: .init(), hasTiedHead: false)
        }
    }

    @Test func aTensorKeepsItsFileMapped() throws {
        try withModel(["model.safetensors": LoaderFixtures.file([Entry(counting: "a", [3])])]) { directory in
            let tensor = try Checkpoint(ModelFiles(directory: directory)).take("a", shape: [3])
            #expect(floats(tensor) == [0, 1, 2])
        }
    }

    @Test func pitfallA29MissingUnusedAndMisshapenTensorsAreErrors() throws {
        let file = LoaderFixtures.file([
            Entry(counting: "model.layers.0.self_attn.q_proj.weight", [2, 3]), Entry("ints", "I64", [0], []),
            Entry(counting: "model.layers.0.self_attn.rotary_emb.inv_freq", [2]),
            Entry(counting: "lm_head.weight", [1]),
        ])
        try LoaderFixtures.open(file) { file in
            let checkpoint = Checkpoint(file)
            let name = "model.layers.0.self_attn.q_proj.weight"
            #expect(
                LoaderFixtures.message { _ = try checkpoint.take("model.norm.weight", shape: [2]) }
                    == "test.safetensors: tensor model.norm.weight is missing")
            #expect(
                LoaderFixtures.message { _ = try checkpoint.take(name, shape: [3, 2]) }
                    == "test.safetensors: tensor \(name) has the shape [2, 3]; config.json asks for [3, 2]")
            #expect(
                LoaderFixtures.message { _ = try checkpoint.take("ints", shape: [0]) }
                    == "test.safetensors: tensor ints has the dtype I64 (supported: F32, F16, BF16)")
            // A failed take doesn't count as used.
            let left = LoaderFixtures.message { try checkpoint.finish(unused: .init(), hasTiedHead: true) }
            #expect(left?.hasPrefix("test.safetensors: unused tensor ints and 1 more: ") == true)
            _ = try checkpoint.take(name, shape: [2, 3])
            let head = LoaderFixtures.message { try checkpoint.finish(unused: .init(), hasTiedHead: false) }
            #expect(head?.contains("unused tensor ints and 1 more") == true, "lm_head is needed when it isn't tied")
        }
    }

    @Test func harmlessTensorsMayStayUnused() throws {
        let file = LoaderFixtures.file([
            Entry(counting: "model.layers.0.self_attn.rotary_emb.inv_freq", [2]),
            Entry(counting: "lm_head.weight", [1]),
        ])
        try LoaderFixtures.open(file) { file in
            try Checkpoint(file).finish(unused: .init(), hasTiedHead: true)
            let untied = LoaderFixtures.message { try Checkpoint(file).finish(unused: .init(), hasTiedHead: false) }
            #expect(untied?.contains("unused tensor lm_head.weight:") == true)
        }
    }

    @Test func takesTensorsOfShards() throws {
        let files = [
            "model-00001-of-00002.safetensors": LoaderFixtures.file([Entry(counting: "a", [2])]),
            "model-00002-of-00002.safetensors": LoaderFixtures.file([
                Entry(counting: "b", [3]), Entry(counting: "unlisted", [1]),
            ]),
            "model.safetensors.index.json": index([
                "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
            ]),
        ]
        try withModel(files) { directory in
            let checkpoint = try Checkpoint(ModelFiles(directory: directory))
            #expect(checkpoint.tensorNames == ["a", "b", "unlisted"])
            #expect(floats(try checkpoint.take("a", shape: [2])) == [0, 1])
            #expect(floats(try checkpoint.take("b", shape: [3])) == [0, 1, 2])
            let left = LoaderFixtures.message { try checkpoint.finish(unused: .init(), hasTiedHead: false) }
            #expect(left?.contains("unused tensor unlisted") == true)
        }
    }

    @Test func brokenIndexesAreRefused() throws {
        let shard = LoaderFixtures.file([Entry(counting: "a", [2])])
        let cases: [(index: [UInt8], expected: String)] = [
            (index(["a": "other.safetensors"]), "other.safetensors is missing; "),
            (index(["a": "shard", "b": "shard"]), "model.safetensors.index.json: tensor b is not in shard"),
            (index(["a": "../shard"]), "a is in \"../shard\", which is not a file name of this directory"),
            (index(["a": "/etc/passwd"]), "which is not a file name of this directory"),
            (index(["a": ".."]), "which is not a file name of this directory"),
            (index(["a": ""]), "which is not a file name of this directory"),
            (index([:]), "model.safetensors.index.json has no weight_map"),
            (Array(#"{"weight_map": {"a": 3}}"#.utf8), "a is in 3, which is not a file name"),
            (Array(#"{"weight_map": [1]}"#.utf8), "has no weight_map"),
            (Array("{".utf8), "model.safetensors.index.json is not valid JSON"),
        ]
        for (index, expected) in cases {
            try withModel(["shard": shard, "model.safetensors.index.json": index]) { directory in
                let message = openMessage(directory)
                #expect(message?.contains(expected) == true, "\(message ?? "accepted")")
            }
        }
    }

    @Test func aTruncatedShardIsNamed() throws {
        let files = [
            "one": Array(LoaderFixtures.file([Entry(counting: "a", [2])]).dropLast()),
            "model.safetensors.index.json": index(["a": "one"]),
        ]
        try withModel(files) { directory in
            #expect(openMessage(directory)?.hasPrefix("\(directory)/one: tensor a ends at byte 8") == true)
        }
    }

    @Test func foldersOfOtherFormatsAreNamed() throws {
        try withModel(["model-q4.gguf": [1], "pytorch_model.bin": [1]]) { directory in
            let message = openMessage(directory)
            #expect(
                message == "\(directory) has neither model.safetensors nor model.safetensors.index.json; found "
                    + "model-q4.gguf (GGUF), pytorch_model.bin (pickle). Supported is Hugging Face's layout: config.json, "
                    + "tokenizer.json and model.safetensors, or shards with model.safetensors.index.json")
        }
        try withModel(["model.gguf": [1]], config: false) { directory in
            let message = openMessage(directory)
            #expect(
                message?.hasPrefix("\(directory) has no config.json; found model.gguf (GGUF). Supported is") == true)
            let file = LoaderFixtures.message { _ = try ModelFiles(directory: directory + "/model.gguf") }
            #expect(
                file
                    == "\(directory)/model.gguf is not a directory; found model.gguf (GGUF). A model is a directory in "
                    + "Hugging Face's layout: config.json, tokenizer.json and model.safetensors, or shards with "
                    + "model.safetensors.index.json")
        }
        for (name, found) in [
            ("model.ONNX", "model.ONNX (ONNX)"), ("consolidated.00.pth", "consolidated.00.pth (pickle)"),
            ("tf_model.h5", "tf_model.h5 (HDF5)"), ("flax_model.msgpack", "flax_model.msgpack (Flax)"),
            ("adapter_config.json", "adapter_config.json (a LoRA adapter, which is part of a model)"),
            ("model_index.json", "model_index.json (a diffusion pipeline)"),
            ("params.json", "params.json (a checkpoint in its maker's own layout)"),
            ("weights.safetensors", "weights.safetensors (safetensors)"),
        ] {
            try withModel([name: [1]], config: false) { directory in
                #expect(
                    openMessage(directory)?.hasPrefix("\(directory) has no config.json; found \(found). Supp") == true)
                let file = LoaderFixtures.message { _ = try ModelFiles(directory: "\(directory)/\(name)") }
                #expect(file?.contains("is not a directory; found \(found). A model is a directory in") == true)
            }
        }
        try withModel([:], config: false) { directory in
            #expect(openMessage(directory) == "\(directory) has no config.json")
            let missing = "\(directory)/none"
            #expect(openMessage(missing)?.hasPrefix("\(missing) does not exist; a model is a directory") == true)
        }
    }

    @Test func smallFilesAreBounded() throws {
        try withModel(["data": Array("12345".utf8), "empty": []]) { directory in
            let files = try ModelFiles(directory: directory)
            #expect(try files.data("data", limit: 5) == Array("12345".utf8))
            #expect(try files.data("empty") == [])
            #expect(try files.data("none") == nil && files.data("../\(directory)/data") == nil)
            #expect(
                LoaderFixtures.message { _ = try files.data("data", limit: 4) }
                    == "\(directory)/data has 5 bytes; at most 4 are read")
        }
    }

    @Test func configErrorsNameTheDirectory() throws {
        try withModel([:]) { directory in
            let files = try ModelFiles(directory: directory)
            #expect(
                LoaderFixtures.message { _ = try files.config() }
                    == "\(directory)/config.json: it has neither architectures nor model_type")
        }
    }

    @Test func embeddedFilesAreReadInPlace() throws {
        let weights = LoaderFixtures.file([Entry(counting: "a", [2])])
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: weights.count, alignment: 64)
        defer { memory.deallocate() }
        memory.copyBytes(from: weights)
        nonisolated(unsafe) let bytes = UnsafeRawBufferPointer(memory)
        let absent: ModelFiles.EmbeddedFile = { UnsafeRawBufferPointer(start: nil, count: 0) }
        let files = ModelFiles(
            name: "the demo model",
            embedded: ["model.safetensors": { bytes }, "copy": { bytes }, "config.json": absent])
        #expect(try files.data("copy") == weights && files.data("config.json") == nil)
        #expect(floats(try Checkpoint(files).take("a", shape: [2])) == [0, 1])
        #expect(LoaderFixtures.message { _ = try files.config() } == "the demo model has no config.json")
    }

    // MARK: The machine

    @Test func cgroupLimitsCount() throws {
        try LoaderFixtures.withDirectory { root in
            let write = { (text: String, path: String) in try LoaderFixtures.write(text + "\n", root + path) }
            try write("MemTotal: 64 kB\nMemAvailable:   8000 kB", "/meminfo")
            try write("Cpus_allowed:\tf,ffffffff\nCpus_allowed_list:\t0-35", "/status")
            // Version 2: the limit of the group above is the tighter one.
            try write("0::/outer/inner", "/self")
            try write("max", "/v2/outer/inner/memory.max")
            try write("5000", "/v2/outer/inner/memory.current")
            try write("1000000", "/v2/outer/memory.max")
            try write("500000", "/v2/outer/memory.current")
            try write("anon 3\ninactive_file 100000\nfile 7", "/v2/outer/memory.stat")
            try write("150000 100000", "/v2/outer/cpu.max")
            try write("max 100000", "/v2/outer/inner/cpu.max")
            let unified = ControlGroups(membership: root + "/self", root: root + "/v2")
            #expect(unified.availableMemory() == 600_000)
            #expect(unified.processorQuota() == 1.5)
            // Version 1: a mount per controller; here the container sees its own group as the root.
            try write("4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc", "/self1")
            try write("2000000", "/v1/memory/memory.limit_in_bytes")
            try write("3000000", "/v1/memory/memory.usage_in_bytes")
            try write("400000", "/v1/cpu,cpuacct/cpu.cfs_quota_us")
            try write("100000", "/v1/cpu,cpuacct/cpu.cfs_period_us")
            let separate = ControlGroups(membership: root + "/self1", root: root + "/v1")
            #expect(separate.availableMemory() == 0)
            #expect(separate.processorQuota() == 4)
            let none = ControlGroups(membership: root + "/nothing", root: root)
            #expect(none.availableMemory() == nil && none.processorQuota() == nil)
            #if os(Linux)
            #expect(Platform.availableMemory(memoryInformation: root + "/meminfo", cgroups: none) == 8_192_000)
            #expect(Platform.availableMemory(memoryInformation: root + "/meminfo", cgroups: unified) == 600_000)
            #expect(Platform.availableMemory(memoryInformation: root + "/none", cgroups: none) == nil)
            #expect(Platform.coreCount(status: root + "/status", system: root, cgroups: none) == 36)
            #expect(Platform.coreCount(status: root + "/status", system: root, cgroups: unified) == 2)
            #endif
        }
    }

    @Test func thisMachineHasProcessorsAndMemory() throws {
        #expect(Platform.coreCount() >= 1)
        #expect(try #require(Platform.availableMemory()) > 1 << 20)
    }
}

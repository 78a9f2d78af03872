// `swiftlet info`: what it knows of a model without loading it, its two forms, and models that can't be run.

import ArgumentParser
import Swiftlet
import SwiftletCommand
import SwiftletJSON
import SwiftletTestSupport
import Testing

@Suite("Info")
struct InfoTests {
    private func info(_ arguments: [String]) async throws -> (root: JSONValue, finished: RunningCommand.Finished) {
        let finished = try await RunningCommand.run(["info", "--json"] + arguments)
        return (try JSONDocument(parsing: Array(finished.output.utf8)).root, finished)
    }

    @Test("Shapes and sizes of a model that has only its config.json")
    func model() throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeModel()
        let info = try ModelInfo(path, config: EngineConfig(loadFormat: .dummy))
        #expect(info.architecture == "Qwen3ForCausalLM" && info.dataType == "float32")
        #expect(info.layerCount == 2 && info.hiddenSize == 64 && info.intermediateSize == 128)
        #expect(info.queryHeadCount == 4 && info.keyValueHeadCount == 2 && info.headDimension == 16)
        #expect(info.vocabularySize == 512 && info.maxModelLength == 65_536)
        #expect(info.checkpointBytes == nil && !info.hasTokenizer)
        // Embedding, final norm; per layer q and o, k and v, MLP, two norms, the norms of queries and keys.
        let layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64 + 2 * 16
        #expect(info.parameterCount == 512 * 64 + 64 + 2 * layer)
        // Keys and values of both layers, two heads of 16 floats.
        #expect(info.kvBytesPerToken == 2 * 2 * 2 * 16 * 4)
        let halves = try ModelInfo(path, config: EngineConfig(dtype: .bfloat16, loadFormat: .dummy))
        let bytes = try ModelInfo(path, config: EngineConfig(kvCacheType: .int8, loadFormat: .dummy))
        #expect(bytes.kvBytesPerToken == 2 * 2 * 2 * (16 + 4) && bytes.kvDataType == "int8")
        #expect(info.kvDataType == "float32" && halves.kvDataType == "bfloat16")
        #expect(halves.kvBytesPerToken * 2 == info.kvBytesPerToken && halves.weightBytes * 2 == info.weightBytes)
    }

    @Test("What fits is what the engine then has")
    func fit() async throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeModel()
        let small = EngineConfig(maxModelLength: 128, maxSequences: 3, loadFormat: .dummy)
        let fit = try #require(try ModelInfo(path, config: small).fit)
        #expect(fit.shortage == nil && fit.longestContext == 128 && fit.fullContexts == 3)
        let llm = try await LLM(path, config: small)
        #expect(llm.kvTokenCapacity == fit.kvTokenCapacity)
        await llm.shutdown()
        // 2^40 blocks of a KiB and more fit no machine.
        let huge = EngineConfig(kvCache: .blocks(1 << 40), loadFormat: .dummy)
        let none = try #require(try ModelInfo(path, config: huge).fit)
        #expect(none.shortage?.contains("free") == true && none.kvTokenCapacity == 0)
    }

    @Test("The demo model's parameters are its tensors")
    func demo() throws {
        let info = try ModelInfo()
        #expect(info.checkpointBytes == info.parameterCount * 2 && info.checkpointType == "bfloat16")
        #expect(info.hasTokenizer)
    }

    @Test("JSON has every key, and the text says the same")
    func command() async throws {
        let (root, finished) = try await info([])
        #expect(finished.code == 0 && finished.errors.isEmpty)
        #expect(root["version"]?.string == SwiftletCommand.configuration.version)
        let machine = try #require(root["machine"])
        for key in [
            "operating_system", "kernel", "processor", "online_processors", "affinity", "cgroup_processor_quota",
            "usable_processors", "kernel_levels", "kernel_level", "total_memory_bytes", "cgroup_memory_limit_bytes",
            "available_memory_bytes",
        ] { #expect(machine[key] != nil, "\(key)") }
        #expect((machine["total_memory_bytes"]?.int ?? 0) > 1 << 27)
        #expect(machine["kernel_levels"]?.elements.contains { $0.string == "portable" } == true)
        let model = try #require(root["model"])
        for key in [
            "name", "architecture", "parameters", "dtype", "checkpoint_dtype", "checkpoint_bytes", "weight_bytes",
            "vocabulary_size", "hidden_size", "intermediate_size", "layers", "query_heads", "key_value_heads",
            "head_dim", "has_tokenizer", "kv_data_type", "kv_bytes_per_token", "max_model_len", "longest_context_now",
            "kv_tokens_now",
            "full_contexts_now", "shortage",
        ] { #expect(model[key] != nil, "\(key)") }
        #expect(model["supported"]?.bool == true)
        let cuda = try #require(root["cuda"])
        for key in ["gpus", "driver_cuda_version", "problem", "libraries", "searched_folders"] {
            #expect(cuda[key] != nil, "\(key)")
        }
        // Found, or said how to get it.
        #expect(cuda["libraries"]?.count == 4)
        for library in cuda["libraries"]?.elements.map(\.self) ?? [] {
            #expect((library["path"]?.string == nil) != (library["problem"]?.string == nil))
        }
        let text = try await RunningCommand.run(["info"])
        #expect(text.code == 0 && text.output.contains("\nGPUs\n"))
        #expect(text.output.contains(Format.count(model["parameters"]?.int ?? 0)))
        #expect(text.output.contains("kernels       " + (machine["kernel_level"]?.string ?? "?")))
    }

    @Test("A model that can't be run: the machine is described all the same, the reason is given, exit code 1")
    func unsupported() async throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeModel()
        // No weights: fine as a dummy, not otherwise.
        let (bare, finished) = try await info(["--model", path])
        #expect(finished.code == 1 && finished.errors.hasPrefix("error: "))
        #expect(bare["model"]?["supported"]?.bool == false && bare["machine"]?["kernel_level"] != nil)
        #expect(bare["model"]?["error"]?["code"]?.string == "invalidModel")
        #expect(bare["model"]?["error"]?["message"]?.string?.contains("model.safetensors") == true)
        #expect(try await info(["--model", path, "--load-format", "dummy"]).finished.code == 0)
        let config = try #require(folder.read("model/config.json"))
        try folder.write(config.replacing("Qwen3ForCausalLM", with: "MambaForCausalLM"), "model/config.json")
        let text = try await RunningCommand.run(["info", "--model", path])
        #expect(text.code == 1 && text.output.contains("processor") && text.output.contains("supported     no: "))
        #expect(text.output.contains("MambaForCausalLM") && text.errors.contains("MambaForCausalLM"))
        #expect(try await RunningCommand.run(["info", "--max-model-len", "0"]).code == 64)
    }

    @Test("Help names every option")
    func help() {
        let help = SwiftletCommand.helpMessage(for: InfoCommand.self)
        for name in ["-m, --model", "--tokenizer", "--dtype", "--load-format", "--max-model-len", "--json"] {
            #expect(help.contains(name), "\(name)")
        }
    }
}

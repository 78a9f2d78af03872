// InfoReport: what `swiftlet info` prints, as text and as JSON; measurements carry its JSON along.
// A value made of MachineInfo and of ModelInfo, or of the error that stands in its place.
// Invariant: both forms say the same; what is not known is left out of the text and null in the JSON.

package import Swiftlet
package import SwiftletJSON

package struct InfoReport: Sendable {
    package var version: String
    package var machine: MachineInfo
    package var gpus: CUDAInfo
    package var modelName: String
    package var model: Result<ModelInfo, LLMError>

    package init(
        version: String, machine: MachineInfo, gpus: CUDAInfo, modelName: String, model: Result<ModelInfo, LLMError>
    ) {
        self.version = version
        self.machine = machine
        self.gpus = gpus
        self.modelName = modelName
        self.model = model
    }

    // MARK: - Text

    package var text: String {
        var text =
            "swiftlet \(version)\n\nmachine\n" + machineText + "\nGPUs\n" + gpuText + "\nmodel: \(modelName)\n"
        switch model {
        case .success(let info): text += Self.text(of: info)
        case .failure(let error): text += Self.line("supported", "no: \(error.message)")
        }
        return text
    }

    static func line(_ label: String, _ value: String?) -> String {
        guard let value else { return "" }
        return "  \(label)\(String(repeating: " ", count: max(1, 14 - label.count)))\(value)\n"
    }

    private var machineText: String {
        let system = [machine.operatingSystem, machine.kernel].compactMap(\.self).joined(separator: "; ")
        var cores = "\(machine.usableProcessors) usable of \(machine.onlineProcessors) online"
        if let affinity = machine.affinity { cores += "; affinity \(affinity)" }
        cores += "; cgroup quota \(machine.processorQuota.map { Format.number($0) } ?? "none")"
        let others = machine.kernelLevels.dropFirst().joined(separator: ", ")
        var memory = [String]()
        if let total = machine.totalMemory { memory.append(Format.bytes(total)) }
        if let available = machine.availableMemory { memory.append("\(Format.bytes(available)) available") }
        memory.append("cgroup limit \(machine.memoryLimit.map { Format.bytes($0) } ?? "none")")
        return Self.line("system", system)
            + Self.line("processor", machine.processor)
            + Self.line("cores", cores)
            + Self.line("kernels", machine.kernelLevels[0] + (others.isEmpty ? "" : " (also here: \(others))"))
            + Self.line("memory", memory.joined(separator: "; "))
    }

    private static func text(of model: ModelInfo) -> String {
        let stored = model.checkpointBytes.map { "\(Format.bytes($0)) in the files" } ?? "random"
        let named = model.checkpointType.map { ", config.json says \($0)" } ?? ""
        var text = line("supported", "yes")
        text += line("architecture", model.architecture)
        let active =
            model.experts == nil ? "" : ", \(Format.count(model.activeParameterCount)) of them used by a token"
        text += line("parameters", Format.count(model.parameterCount) + active)
        text += line("weights", "\(Format.bytes(model.weightBytes)) in \(model.weightType) (\(stored)\(named))")
        if model.rankWeightBytes.count > 1 {
            let sizes = model.rankWeightBytes.map { Format.bytes($0) }
            text += line("ranks", "\(sizes.count), with weights of \(sizes.joined(separator: ", "))")
        }
        text += line("vocabulary", Format.count(model.vocabularySize))
        let layers = "\(model.layerCount) of width \(Format.count(model.hiddenSize))"
        if let experts = model.experts {
            let mixed = experts.layerCount == model.layerCount ? "" : "\(experts.layerCount) of them with "
            let others = mixed.isEmpty ? "" : ", the others MLP \(Format.count(model.intermediateSize))"
            text += line(
                "layers",
                "\(layers), \(mixed)\(experts.count) experts of \(Format.count(experts.intermediateSize)), "
                    + "\(experts.perToken) for a token\(others)")
        } else {
            text += line("layers", "\(layers), MLP \(Format.count(model.intermediateSize))")
        }
        text += line(
            "heads",
            "\(model.queryHeadCount) query and \(model.keyValueHeadCount) key-value, of dimension \(model.headDimension)"
        )
        text += line("tokenizer", model.hasTokenizer ? "yes" : "none: prompts must be token ids")
        text += line("KV cache", "\(Format.count(model.kvBytesPerToken)) bytes a token in \(model.kvDataType)")
        text += line("context", Format.count(model.maxModelLength, "token"))
        guard let fit = model.fit else { return text }
        if let shortage = fit.shortage {
            return text
                + line("fits now", "no: \(shortage); a context of \(Format.count(fit.longestContext)) would fit")
        }
        return text
            + line(
                "fits now",
                "KV cache of \(Format.count(fit.kvTokenCapacity, "token")): "
                    + Format.count(fit.fullContexts, "full context"))
    }

    // MARK: - JSON

    package func write(to json: inout JSONWriter) {
        json.object { json in
            json.key("version")
            json.string(version)
            json.key("machine")
            Self.write(machine, to: &json)
            json.key("cuda")
            Self.write(gpus, to: &json)
            json.key("model")
            json.object { json in
                json.key("name")
                json.string(modelName)
                switch model {
                case .success(let info): Self.writeMembers(of: info, to: &json)
                case .failure(let error):
                    json.key("supported")
                    json.bool(false)
                    json.key("error")
                    json.object { json in
                        json.member("code", error.code.description)
                        json.member("message", error.message)
                    }
                }
            }
        }
        json.newline()
    }

    package static func write(_ machine: MachineInfo, to json: inout JSONWriter) {
        json.object { json in
            json.member("operating_system", machine.operatingSystem)
            json.member("kernel", machine.kernel)
            json.member("processor", machine.processor)
            json.member("online_processors", machine.onlineProcessors)
            json.member("affinity", machine.affinity)
            json.member("cgroup_processor_quota", machine.processorQuota)
            json.member("usable_processors", machine.usableProcessors)
            json.key("kernel_levels")
            json.array(machine.kernelLevels) { $0.string($1) }
            json.member("kernel_level", machine.kernelLevels[0])
            json.member("total_memory_bytes", machine.totalMemory)
            json.member("cgroup_memory_limit_bytes", machine.memoryLimit)
            json.member("available_memory_bytes", machine.availableMemory)
        }
    }

    package static func writeMembers(of model: ModelInfo, to json: inout JSONWriter) {
        json.key("supported")
        json.bool(true)
        json.member("architecture", model.architecture)
        json.member("parameters", model.parameterCount)
        json.member("dtype", model.dataType)
        if let quantization = model.quantization { json.member("quantization", quantization.rawValue) }
        if let stored = model.storedQuantization { json.member("stored_quantization", stored) }
        json.member("checkpoint_dtype", model.checkpointType)
        json.member("checkpoint_bytes", model.checkpointBytes)
        json.member("weight_bytes", model.weightBytes)
        json.key("rank_weight_bytes")
        json.array(model.rankWeightBytes) { json, bytes in json.int(bytes) }
        json.member("vocabulary_size", model.vocabularySize)
        json.member("hidden_size", model.hiddenSize)
        json.member("intermediate_size", model.intermediateSize)
        json.member("layers", model.layerCount)
        if let experts = model.experts {
            json.member("active_parameters", model.activeParameterCount)
            json.member("expert_layers", experts.layerCount)
            json.member("experts", experts.count)
            json.member("experts_per_token", experts.perToken)
            json.member("expert_intermediate_size", experts.intermediateSize)
        }
        json.member("query_heads", model.queryHeadCount)
        json.member("key_value_heads", model.keyValueHeadCount)
        json.member("head_dim", model.headDimension)
        json.key("has_tokenizer")
        json.bool(model.hasTokenizer)
        json.member("kv_data_type", model.kvDataType)
        json.member("kv_bytes_per_token", model.kvBytesPerToken)
        json.member("max_model_len", model.maxModelLength)
        json.member("longest_context_now", model.fit?.longestContext)
        json.member("kv_tokens_now", model.fit?.kvTokenCapacity)
        json.member("full_contexts_now", model.fit?.fullContexts)
        json.member("shortage", model.fit?.shortage)
    }
}

extension Format {
    /// Bytes in the binary unit that suits them.
    package static func bytes(_ value: Int) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var amount = Double(value)
        var unit = 0
        while amount >= 1024 && unit < units.count - 1 {
            amount /= 1024
            unit += 1
        }
        return unit == 0 ? "\(value) bytes" : "\(number(amount)) \(units[unit])"
    }
}

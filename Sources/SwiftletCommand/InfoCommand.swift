// `swiftlet info`: the machine and a model, as text to read or as JSON for a bug report.
// No weights are loaded.
// Invariant: the machine's part is always printed; the exit code is 1 when the model can't be run.

package import ArgumentParser
package import Swiftlet
import SwiftletJSON

package struct InfoCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Describe this machine and a model, for bug reports.",
        discussion: """
            Checks a model's files as loading would, without reading its weights, and says how long a context \
            and how many of them fit into the memory that is free now. Also lists GPUs and where CUDA's libraries \
            were found.
            """)

    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp(
            "Folder of a Hugging Face model, or OWNER/NAME in the hub's cache (default: the built-in demo model).",
            valueName: "model"))
    package var model: String?

    @Option(help: ArgumentHelp("Folder or tokenizer.json to use instead of the model's.", valueName: "path"))
    package var tokenizer: String?

    @Option(help: "Type of weights, activations and KV cache; auto is the checkpoint's.")
    package var dtype: EngineConfig.DataType = .automatic

    @OptionGroup package var quantized: QuantizationOptions

    @Option(help: "Where weights would come from; dummy needs no more than config.json.")
    package var loadFormat: EngineConfig.LoadFormat = .automatic

    @Option(help: ArgumentHelp("Longest prompt plus output (default: the model's limit).", valueName: "tokens"))
    package var maxModelLen: Size?

    @Option(help: ArgumentHelp("Most sequences in one step (default: 256).", valueName: "count"))
    package var maxNumSeqs: Int?

    @Option(
        name: [.long, .customLong("tp", withSingleDash: true)],
        help: ArgumentHelp("Ranks that share the model (default: 1).", valueName: "count"))
    package var tensorParallelSize: Int?

    @Flag(help: "Print which models are supported, and nothing else.")
    package var supported = false

    @Flag(help: "Print JSON.")
    package var json = false

    package init() {}

    package func validate() throws {
        do {
            try config.validate()
        } catch {
            throw ValidationError("--" + error.message)
        }
    }

    /// What the model would be loaded with.
    package var config: EngineConfig {
        var config = EngineConfig(
            dtype: dtype, quantization: quantized.quantization, quantizeHead: quantized.quantizeHead,
            kvCacheType: quantized.kvCacheDtype, maxModelLength: maxModelLen?.value, loadFormat: loadFormat)
        config.maxSequences = maxNumSeqs ?? config.maxSequences
        config.tensorParallelSize = tensorParallelSize ?? config.tensorParallelSize
        return config
    }

    package func run() throws {
        if supported { return try File.standardOutput.write(Array(SupportedModels.markdown.utf8)) }
        let found: Result<ModelInfo, LLMError>
        do {
            found = .success(try ModelInfo(model, tokenizer: tokenizer, config: config))
        } catch {
            found = .failure(error)
        }
        let report = InfoReport(
            version: SwiftletCommand.configuration.version, machine: MachineInfo(),
            gpus: CUDAInfo(), modelName: model ?? "the demo model", model: found)
        if json {
            var writer = JSONWriter()
            report.write(to: &writer)
            try File.standardOutput.write(writer.bytes)
        } else {
            try File.standardOutput.write(Array(report.text.utf8))
        }
        if case .failure(let error) = found {
            Console.error(error.message)
            throw ExitCode.failure
        }
    }
}

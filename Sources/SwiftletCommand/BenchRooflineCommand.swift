// `swiftlet bench roofline`: how near each operation of a model comes to what this machine can do.
// The table (or JSON) goes to standard output, the plot to a file, progress to standard error.
// Invariant: what can be refused is refused before a weight is loaded.

package import ArgumentParser
package import Swiftlet
import SwiftletJSON

package struct BenchRooflineCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "roofline",
        abstract: "Measure each operation as a share of what this machine can do.",
        discussion: """
            Reads memory and multiplies in registers with all threads to learn the machine's limits, then runs each \
            operation of the model by itself, with weights and KV cache streamed from memory as in a forward pass. \
            An operation's shortest time is the larger of its bytes over the bandwidth and its operations over the \
            peak; its share is that time over the one it took. Limits are measured anew before and after every \
            measurement, so that a slow spell of the machine is not blamed on the engine; shares are medians.

            Bytes are those of weights, keys and values, once each; activations stay in caches. Norms, rope and \
            sampling are held against the bandwidth of the last cache.
            """)

    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp(
            "Folder of a Hugging Face model, or OWNER/NAME in the hub's cache (default: the built-in demo model).",
            valueName: "model"))
    package var model: String?

    @Option(help: "Type of weights, activations and KV cache; auto is the checkpoint's.")
    package var dtype: EngineConfig.DataType = .automatic

    @OptionGroup package var quantized: QuantizationOptions

    @Option(help: "Where weights come from; dummy is random weights of config.json's shape.")
    package var loadFormat: EngineConfig.LoadFormat = .automatic

    @Option(help: ArgumentHelp("Threads that compute (default: the cores of this process).", valueName: "count"))
    package var threads: Int?

    @Option(help: "Kernels to use (default: the best for this machine).")
    package var cpuLevel: CPULevel?

    @Flag(help: "Measure each operation once: rougher, in a quarter of the time.")
    package var quick = false

    @Flag(help: "Print JSON.")
    package var json = false

    @Option(help: ArgumentHelp("Draw the roofline, as SVG.", valueName: "file"))
    package var plot: String?

    @Flag(name: .long, help: "Only results and errors: no progress.")
    package var quiet = false

    package init() {}

    package func validate() throws {
        do {
            try config.validate()
        } catch {
            throw ValidationError("--" + error.message)
        }
    }

    /// What is measured.
    package var config: EngineConfig {
        EngineConfig(
            dtype: dtype, quantization: quantized.quantization, quantizeHead: quantized.quantizeHead,
            kvCacheType: quantized.kvCacheDtype, threads: threads, cpuLevel: cpuLevel?.rawValue, seed: 0,
            loadFormat: loadFormat)
    }

    package func run() throws {
        if let plot { try BenchSession.checkWritable(plot) }
        let info = try ModelInfo(model, config: config)
        note(info.name + ": loading")
        let bench = try RooflineBench(model, config: config, isQuick: quick)
        let roofline = try bench.run { note("measuring " + $0) }
        let report = RooflineReport(
            roofline: roofline, model: info, cpuLevel: bench.backend.levelName, threads: bench.backend.threadCount,
            instruction: bench.instruction, integerInstruction: bench.integerInstruction)
        if let plot { try BenchSession.write(Array(RooflinePlot(report).svg.utf8), to: plot) }
        if json {
            var writer = JSONWriter()
            report.write(to: &writer)
            try File.standardOutput.write(writer.bytes)
        } else {
            try File.standardOutput.write(Array(report.text.utf8))
        }
    }

    private func note(_ line: String) {
        if !quiet { Console.note(line) }
    }
}

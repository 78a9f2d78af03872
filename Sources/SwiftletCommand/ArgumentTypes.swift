// How option values are read from the command line: sizes, lists of token ids, log levels.
// Invariant: what can't be read is nil, which ArgumentParser reports as a usage error that names the option.

public import ArgumentParser
package import Logging
public import Swiftlet
import SwiftletJSON
package import SwiftletTemplate
package import SwiftletTokenizer

extension EngineConfig.Device: ExpressibleByArgument {}
extension EngineConfig.DataType: ExpressibleByArgument {}
extension EngineConfig.LoadFormat: ExpressibleByArgument {}
extension EngineConfig.Quantization: ExpressibleByArgument {}
extension EngineConfig.KVCacheType: ExpressibleByArgument {}
extension EngineConfig.SchedulingPolicy: ExpressibleByArgument {}

/// A count that may have a unit, as vLLM reads them: `8G` is 8 × 2^30, `8g` is 8 × 10^9.
package struct Size: ExpressibleByArgument, Sendable, Hashable {
    package var value: Int

    package init?(argument: String) {
        let units: [Character: Int] = [
            "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "t": 1_000_000_000_000,
            "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
        ]
        if let value = Int(argument) {
            self.value = value
            return
        }
        guard let last = argument.last, let unit = units[last], let number = Double(argument.dropLast()) else {
            return nil
        }
        let product = (number * Double(unit)).rounded(.down)
        guard product >= 0, let value = Int(exactly: product) else { return nil }
        self.value = value
    }
}

/// Token ids, separated by commas.
package struct TokenIDList: ExpressibleByArgument, Sendable, Hashable {
    package var ids: [TokenID]

    package init?(argument: String) {
        var ids: [TokenID] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let id = TokenID(part), id >= 0 else { return nil }
            ids.append(id)
        }
        self.ids = ids
    }
}

/// `{"262": -5, "13": 1.5}`: a bias for each token id.
package struct LogitBias: ExpressibleByArgument, Sendable, Hashable {
    package var biases: [TokenID: Float]

    package init?(argument: String) {
        guard let root = try? JSONDocument(parsing: Array(argument.utf8), rejectDuplicateKeys: true).root,
            root.kind == .object
        else { return nil }
        var biases: [TokenID: Float] = [:]
        for (key, value) in root.members {
            guard let id = TokenID(key), id >= 0, let bias = value.double else { return nil }
            biases[id] = Float(bias)
        }
        self.biases = biases
    }
}

/// `{"enable_thinking": false}`: variables for a chat template.
package struct TemplateVariables: ExpressibleByArgument, Sendable, Hashable {
    package var values: [String: TemplateValue]

    package init?(argument: String) {
        guard case .object(let members) = try? TemplateValue(json: Array(argument.utf8)) else { return nil }
        values = Dictionary(members.map { ($0.key, $0.value) }) { $1 }
    }
}

/// What the engine's log may say.
package enum LogLevel: String, ExpressibleByArgument, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error, critical

    package var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .warning }
}

/// Where sampling defaults come from.
package enum GenerationConfigSource: String, ExpressibleByArgument, CaseIterable, Sendable {
    case auto, vllm
}

/// The kernels to use.
package enum CPULevel: String, ExpressibleByArgument, CaseIterable, Sendable {
    case avx512bf16, avx512vnni, avx512, avx2vnni, avx2, neonbf16, neondot, neon, portable
}

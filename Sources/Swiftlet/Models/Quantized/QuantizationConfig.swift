// QuantizationConfig: what config.json's quantization_config says about the stored weights, checked.
// Read by ModelConfig; WeightLoader+Stored finds the tensors, MemoryPlan counts them. Which matrices are quantised is
// seen by their tensors, so lists of exceptions (`ignore`, `modules_to_not_convert`) are not needed to load a folder.
// Invariant: a value of this type describes weights that the kernels multiply with or that can be expanded.

internal import SwiftletJSON

package struct QuantizationConfig: Sendable, Hashable {
    /// `quant_method`.
    package var method: String
    /// How matrices are stored, the first whose targets a matrix matches; never empty.
    package var schemes: [Scheme]

    /// How some matrices are stored.
    package struct Scheme: Sendable, Hashable {
        package var storage: Storage
        /// Names, `re:` patterns or classes of modules (compressed-tensors' `targets`); empty: all.
        package var targets: [String] = []
    }

    package enum Storage: Sendable, Hashable {
        case int4(Int4)
        /// int8 or fp8 in `weight`, with `weight_scale` or, in blocks, `weight_scale_inv`.
        case bytes(Bytes)
    }

    /// Integers of four bits, eight to a word.
    package struct Int4: Sendable, Hashable {
        package enum Layout: Sendable, Hashable {
            /// `qweight` [columns, rows / 8] and zeros [groups, rows / 8], interleaved.
            case awq
            /// `qweight` [rows, columns / 8], zeros [rows, groups / 8, padded].
            case awqGEMV
            /// `qweight` [columns / 8, rows], zeros [groups, rows / 8].
            case gptq
            /// `weight_packed` [rows, columns / 8], zeros [rows / 8, groups].
            case packed
        }

        package var layout: Layout
        /// Columns of a group; 0: all.
        package var groupSize: Int
        /// All zero points are 8. The tensors of zero points may be there all the same.
        package var isSymmetric: Bool
        /// What is added to stored zero points.
        package var zeroOffset = 0
        /// A tensor says which group a column belongs to.
        package var hasOrder = false
    }

    package struct Bytes: Sendable, Hashable {
        package enum Element: Sendable, Hashable {
            case int8, float8
            /// `weight_packed`: int8 plus 128, four to a word.
            case packedInt8
        }

        package var element: Element
        /// `weight_scale` or `weight_scale_inv`.
        package var scaleName = "weight_scale"
        /// Rows and columns that share a scale, where there are blocks.
        package var block: [Int]?
        /// Columns of a group that share a scale; 0: all of a row.
        package var groupSize = 0
        /// Products are those of integers, with activations rounded token by token.
        package var roundsActivations = false
    }

    /// Group sizes of the int4 kernels; 0: a whole row.
    package static let groupSizes = [0, 32, 64, 128]

    /// How the matrix of this module (a tensor's name without `.weight`) is stored if its tensors are quantised.
    package func scheme(of module: String) -> Storage? {
        guard schemes.count > 1 else { return schemes[0].storage }
        // Names and patterns come before classes.
        let byName = schemes.first { $0.targets.contains { ModulePattern($0).matches(module) } }
        return (byName ?? schemes.first { $0.targets.contains("Linear") })?.storage
    }

    /// What a request to quantise weights does to these.
    package func check(_ wanted: EngineConfig.Quantization?) throws(LLMError) {
        guard let wanted, !schemes.allSatisfy({ $0.storage.isExpanded }) else { return }
        throw LLMError(
            .invalidConfiguration,
            "quantization \(wanted.rawValue) is for folders of unquantised weights; these are quantised already "
                + "(\(summary)) and run as they are: leave --quantization out")
    }

    /// What weights are when they are multiplied with; nil: ordinary ones.
    package var products: EngineConfig.Quantization? {
        switch schemes[0].storage {
        case .int4: .int4
        case .bytes(let bytes): bytes.roundsActivations ? .int8 : nil
        }
    }

    /// The widest group of columns that a matrix must not be cut within; 0: none.
    package var columnGroup: Int {
        schemes.reduce(0) { widest, scheme in
            guard case .int4(let int4) = scheme.storage else { return widest }
            return max(widest, int4.groupSize)
        }
    }

    /// `awq int4, groups of 128`.
    package var summary: String { summary(on: .cpu) }

    /// The same as a device keeps it: the CPU expands bytes with scales, a GPU does not.
    package func summary(on device: EngineConfig.Device) -> String {
        let text = method + " " + schemes[0].storage.summary
        let isKept = device == .cuda && schemes[0].storage.isExpanded
        return isKept ? String(text.dropLast(", expanded".count)) : text
    }
}

extension QuantizationConfig.Storage {
    /// The weights become ordinary ones.
    package var isExpanded: Bool {
        if case .bytes(let bytes) = self { return !bytes.roundsActivations }
        return false
    }

    package var summary: String {
        switch self {
        case .int4(let int4):
            "int4, \(int4.groupSize == 0 ? "one group a row" : "groups of \(int4.groupSize)")"
                + (int4.isSymmetric ? "" : " with zero points") + (int4.hasOrder ? ", act-order" : "")
        case .bytes(let bytes):
            switch bytes.element {
            case .float8: "fp8, expanded"
            case .packedInt8: "int8, expanded"
            case .int8: bytes.roundsActivations ? "int8" : "int8, expanded"
            }
        }
    }
}

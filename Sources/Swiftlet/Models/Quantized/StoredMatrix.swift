// StoredMatrix: a matrix that a checkpoint holds quantised, as the backend gets it: which tensors, and how the integers
// lie in them. Made by WeightLoader+Stored, which has checked all shapes and types.
// Invariant: nothing in here says which tool wrote the folder.

package struct StoredMatrix {
    package enum Format: Sendable, Hashable {
        /// `groupSize` 0: all columns of a row are one group.
        case int4(groupSize: Int, hasZeros: Bool, scalesAreFloat16: Bool)
        case int8
        /// What `quantization` says, or the compute type.
        case expanded(EngineConfig.Quantization?)
    }

    package var format: Format
    /// What fills it; none for random weights.
    package var parts: [StoredPart] = []
    /// nil: columns are as they are.
    package var order: Order?

    package struct Order: Sendable, Hashable {
        /// Which column of x (and of the tensors) comes where; -1: none, x is 0 there.
        package var columns: [Int32]
        /// Which of the tensors' groups each group is; nil: as they are.
        package var groups: [Int32]?
    }
}

package struct StoredPart {
    package enum Weights {
        case int4(StoredInt4)
        case bytes(StoredBytes)
    }

    package var part: MatrixPart
    /// Rows of the part that it fills.
    package var firstRow: Int
    package var rows: Int
    package var weights: Weights

    package var tensors: [Checkpoint.Tensor] {
        switch weights {
        case .int4(let int4): [int4.weights.tensor, int4.scales] + (int4.zeros.map { [$0.tensor] } ?? [])
        case .bytes(let bytes): [bytes.tensor, bytes.scales]
        }
    }
}

/// Eight integers of four bits to a word, of neighbouring rows or of neighbouring columns.
package struct Nibbles {
    package var tensor: Checkpoint.Tensor
    /// In words.
    package var rowStride: Int
    package var columnStride: Int
    /// Of the tensor: where the matrix's part begins; a multiple of 8 in the direction of a word.
    package var firstRow = 0
    package var firstColumn = 0
    package var isAlongRows = false
    /// AWQ's order in a word: 0, 2, 4, 6, 1, 3, 5, 7.
    package var isInterleaved = false
}

package struct StoredInt4 {
    package var weights: Nibbles  // [rows, columns]
    package var zeros: Nibbles?  // [rows, groups]; nil: all are 8
    package var zeroOffset: Int
    package var scales: Checkpoint.Tensor  // [rows, groups]
    package var scaleRowStride: Int
    package var scaleGroupStride: Int
    /// The first one, in elements of the tensor.
    package var firstScale = 0
}

package struct StoredBytes {
    package var tensor: Checkpoint.Tensor  // [rows, columns]
    package var stride: Int
    package var element: QuantizationConfig.Bytes.Element
    package var scales: Checkpoint.Tensor
    package var scaleStride: Int
    /// Rows and columns that share a scale.
    package var scaleRows: Int
    package var scaleColumns: Int
    /// Of the tensor: where the matrix's part begins.
    package var firstRow = 0
    package var firstColumn = 0
}

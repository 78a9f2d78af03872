// ActivationOrder: from a tensor that says which group each column belongs to (GPTQ's act-order) to the order in which
// every group's columns lie side by side.
// Invariant: an order is a permutation of the columns in which group g has its `groupSize` columns from g * groupSize
// on, in their own order.

enum ActivationOrder {
    /// Columns of a group, where ranks cut one: each rank's part of it is filled up to a multiple.
    static let smallestGroup = 32

    /// Some columns of the matrix, counted from the first of them: those of each group side by side, in smallest groups.
    static func cut(_ order: [Int32], groupSize: Int, to own: Range<Int>) -> StoredMatrix.Order {
        var (columns, groups): ([Int32], [Int32]) = ([], [])
        for group in 0..<order.count / groupSize {
            let part = order[group * groupSize..<(group + 1) * groupSize].filter { own.contains(Int($0)) }
            let pieces = (part.count + smallestGroup - 1) / smallestGroup
            columns += part.map { $0 - Int32(own.lowerBound) }
            columns += Array(repeating: -1, count: pieces * smallestGroup - part.count)
            groups += Array(repeating: Int32(group), count: pieces)
        }
        return StoredMatrix.Order(columns: columns, groups: groups)
    }

    /// Nil when the columns lie so already.
    static func order(of tensor: Checkpoint.Tensor, groupSize: Int) throws(LLMError) -> [Int32]? {
        let groups = integers(tensor)
        let columns = groups.count
        let size = groupSize == 0 ? columns : groupSize
        let count = size == 0 ? 0 : columns / size
        var next = (0..<count).map { $0 * size }
        var order = [Int32](repeating: 0, count: columns)
        var isSorted = true
        for (column, group) in groups.enumerated() {
            guard group >= 0, group < count else {
                throw LLMError(
                    .invalidModel,
                    "tensor \(tensor.name): column \(column) is in group \(group), of \(count) groups of \(size)")
            }
            let place = next[Int(group)]
            guard place < (Int(group) + 1) * size else {
                throw LLMError(
                    .invalidModel, "tensor \(tensor.name): group \(group) has more than \(size) columns")
            }
            next[Int(group)] += 1
            order[place] = Int32(column)
            isSorted = isSorted && place == column
        }
        return isSorted ? nil : order
    }

    private static func integers(_ tensor: Checkpoint.Tensor) -> [Int32] {
        tensor.withBytes { bytes in
            (0..<tensor.elementCount).map {
                Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self))
            }
        }
    }
}

// ActivationOrder: from a tensor that says which group each column belongs to (GPTQ's act-order) to the order in which
// every group's columns lie side by side.
// Invariant: an order is a permutation of the columns in which group g has its `groupSize` columns from g * groupSize
// on, in their own order.

enum ActivationOrder {
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

// CUDABackend: rows of logits and sampling. Rows that are only chosen from never leave the device; the others come to
// the host when they are asked for, and go back when they were changed.
//
// Invariant: what the host sees of a row is what the device has, until the host changes it; sample() makes them one.

extension CUDABackend {
    package func hostRow(_ logits: CUDABuffer, _ row: Int) -> UnsafeMutablePointer<Float> {
        guard let mirror = logits.mirror, row >= 0, row < logits.rows else {
            preconditionFailure("only rows of logits have a place in host memory")
        }
        if !mirror.isCurrent[row] {
            do throws(LLMError) {
                try device.copy(logits.address(ofRow: row), to: mirror[row], byteCount: 4 * logits.columns)
            } catch {
                device.fail(error)
            }
            mirror.markCurrent(row)
        }
        return mirror[row]
    }

    package func sample(
        _ rows: UnsafeMutableBufferPointer<SampleRow>, of logits: CUDABuffer, count: Int, scratch: CUDABuffer
    ) throws(LLMError) {
        precondition(count == logits.columns && scratch.rows >= logits.rows && scratch.columns == count)
        try device.throwFailure()
        let used = rows.reduce(0) { max($0, $1.row + 1) }
        guard used > 0 else { return }
        choices.clear(used)
        for row in rows {
            choices.set(row)
            guard row.isChanged, let mirror = logits.mirror else { continue }
            try device.startCopy(mirror[row.row], to: logits.address(ofRow: row.row), byteCount: 4 * count)
        }
        try choices.upload()
        device.launch(
            kernels.sampleRows, grid: (used, 1, 1), block: 1024, logits.memory.address, Int32(count),
            choices.temperatures, choices.topKs, choices.topPs, choices.minPs, choices.uniforms,
            scratch.memory.address, choices.tokens)
        let tokens = try choices.download(used)
        for index in rows.indices { rows[index].token = tokens[rows[index].row] }
    }
}

/// How the device chooses tokens, a column for each row of logits: five columns that go to it in one copy, and the tokens
/// that come back.
final class CUDAChoices {
    private let device: CUDADevice
    private let rows: Int
    private let parameters: DeviceMemory  // [5, rows]
    private let chosen: DeviceMemory  // [rows]
    private let sent: PinnedMemory  // [5, rows]
    private let received: PinnedMemory  // [rows]

    init(_ device: CUDADevice, rows: Int) throws(LLMError) {
        self.device = device
        self.rows = rows
        parameters = try DeviceMemory(device, byteCount: 20 * rows, for: "sampling parameters")
        chosen = try DeviceMemory(device, byteCount: 4 * rows, for: "sampled tokens")
        sent = try PinnedMemory(device, byteCount: 20 * rows)
        received = try PinnedMemory(device, byteCount: 4 * rows)
    }

    private func address(_ column: Int) -> UInt64 { parameters.address + UInt64(4 * column * rows) }

    var temperatures: UInt64 { address(0) }
    var topKs: UInt64 { address(1) }
    var topPs: UInt64 { address(2) }
    var minPs: UInt64 { address(3) }
    var uniforms: UInt64 { address(4) }
    var tokens: UInt64 { chosen.address }

    /// Makes the first rows greedy: some of them nobody may want.
    func clear(_ count: Int) {
        for row in 0..<count { set(SampleRow(row: row, temperature: 0, topK: 0, topP: 1, minP: 0, uniform: 0)) }
    }

    func set(_ row: SampleRow) {
        let floats = sent.bytes.assumingMemoryBound(to: UInt32.self) + row.row
        floats[0] = row.temperature.bitPattern
        floats[rows] = UInt32(bitPattern: Int32(row.topK))
        floats[2 * rows] = row.topP.bitPattern
        floats[3 * rows] = row.minP.bitPattern
        floats[4 * rows] = row.uniform.bitPattern
    }

    func upload() throws(LLMError) { try device.startCopy(sent.bytes, to: parameters.address, byteCount: 20 * rows) }

    /// Waits for the tokens.
    func download(_ count: Int) throws(LLMError) -> UnsafeMutablePointer<Int32> {
        try device.copy(chosen.address, to: received.bytes, byteCount: 4 * count)
        return received.bytes.assumingMemoryBound(to: Int32.self)
    }
}

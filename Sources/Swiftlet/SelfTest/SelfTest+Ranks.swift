// SelfTest: what ranks on several GPUs need of NCCL: sums on all of them, and parts that come together on the first one.
// Invariant: all numbers are small integers, so that the order in which they are added changes nothing.

import Synchronization

extension SelfTest {
    /// Sums and gathers over all GPUs of this machine.
    func checkSums(gpus count: Int, _ report: (SelfTestResult) -> Void) throws(LLMError) {
        let worst = Mutex(0.0)
        check("sums and gathers between GPUs", "\(count) GPUs", limit: 0, report) { () throws(LLMError) in
            let group = try RankGroup(count: count, threadCount: count)
            let others = RankThreads(group) { rank throws(LLMError) in
                try checkSums(.threads(rank), nil) { error in worst.withLock { $0 = max($0, error) } }
            }
            do throws(LLMError) {
                try checkSums(.threads(ThreadRank(group, 0)), others) { error in worst.withLock { $0 = max($0, error) }
                }
            } catch {
                others.join()
                throw error
            }
            return worst.withLock { $0 }
        }
    }

    /// What one rank does.
    private func checkSums(
        _ link: RankLink, _ others: RankThreads?, note: (_ error: Double) -> Void
    ) throws(LLMError) {
        var ranks: CUDARanks?
        do throws(LLMError) {
            let device = try CUDADevice(libraries, ordinal: link.rank)
            let joined = try CUDARanks(link, libraries, others: others)
            ranks = joined
            device.ranks = joined
            for count in [1, 1000, 1 << 18] {
                note(try sumError(device, joined, count))
                note(try gatherError(device, joined, count))
            }
            joined.begin()
            let nothing = Batch(maxTokens: 1, maxSequences: 1, maxBlocksPerSequence: 1)
            if link.rank > 0 { while try joined.broadcast(nothing) {} }
            joined.end()
        } catch {
            if let ranks { ranks.fail(error) } else { link.fail(error) }
            throw error
        }
    }

    private func value(_ rank: Int, _ index: Int) -> Float { Float((index * 7 + rank * 5) % 64 - 32) }

    /// The largest error of a sum of all ranks' values.
    private func sumError(_ device: CUDADevice, _ ranks: CUDARanks, _ count: Int) throws(LLMError) -> Double {
        let memory = try DeviceMemory(device, byteCount: 4 * count, for: "a sum")
        let (address, bytes) = (memory.address, 4 * count)
        try device.copy((0..<count).map { value(ranks.rank, $0) }, to: address, byteCount: bytes)
        try device.issue { (stream) throws(LLMError) in
            try ranks.sum(address, into: address, count: count, on: stream)
        }
        var sums = [Float](repeating: .nan, count: count)
        try device.copy(address, to: &sums, byteCount: bytes)
        return error(of: sums) { index in (0..<ranks.count).reduce(0) { $0 + value($1, index) } }
    }

    /// The largest error of what comes to rank 0.
    private func gatherError(_ device: CUDADevice, _ ranks: CUDARanks, _ count: Int) throws(LLMError) -> Double {
        let room = ranks.rank == 0 ? ranks.count * count : count
        let memory = try DeviceMemory(device, byteCount: 4 * room, for: "parts of all ranks")
        let (address, part) = (memory.address, 4 * count)
        try device.copy((0..<count).map { value(ranks.rank, $0) }, to: address, byteCount: part)
        try device.issue { (stream) throws(LLMError) in
            guard ranks.rank == 0 else { return try ranks.send(address, count: count, on: stream) }
            try ranks.receive(on: stream) { (address + UInt64($0 * part), count) }
        }
        var all = [Float](repeating: .nan, count: room)
        try device.copy(address, to: &all, byteCount: 4 * room)
        let isFirst = ranks.rank == 0
        return error(of: all) { value(isFirst ? $0 / count : ranks.rank, $0 % count) }
    }

    private func error(of values: [Float], _ expected: (Int) -> Float) -> Double {
        values.indices.reduce(0) { worst, index in
            let error = Double(abs(values[index] - expected(index)))
            return error.isFinite ? max(worst, error) : .infinity
        }
    }
}

// MachineLimits: what this machine can do at best, as measured a moment ago, and the probe that measures it.
// Invariant: limits and measurements come from the same threads, level and minute; a limit is never quoted from a
// data sheet.

package struct MachineLimits: Sendable, Hashable {
    /// Bytes a second from memory and from the last cache.
    package var memory: Double
    package var cache: Double
    /// Operations a second in products of the compute type, and of integers (0 where they are not used).
    package var peak: Double
    package var integerPeak: Double

    package init(memory: Double, cache: Double, peak: Double, integerPeak: Double = 0) {
        self.memory = memory
        self.cache = cache
        self.peak = peak
        self.integerPeak = integerPeak
    }

    /// What keeps an operation from being faster.
    package enum Bound: String, Sendable { case memory, cache, compute }

    /// The shortest time that work can take: moving and computing overlap perfectly.
    package func seconds(for work: OperationWork) -> Double { times(of: work).map(\.seconds).max() ?? 0 }

    package func bound(of work: OperationWork) -> Bound {
        times(of: work).max { $0.seconds < $1.seconds }?.bound ?? .memory
    }

    private func times(of work: OperationWork) -> [(bound: Bound, seconds: Double)] {
        [
            (.memory, work.memoryBytes / memory), (.cache, work.cacheBytes / cache),
            (.compute, work.floatOperations / peak + integerSeconds(work)),
        ]
    }

    private func integerSeconds(_ work: OperationWork) -> Double {
        work.integerOperations > 0 ? work.integerOperations / integerPeak : 0
    }

    /// The mean of two probes, before and after a measurement.
    package static func mean(_ a: MachineLimits, _ b: MachineLimits) -> MachineLimits {
        MachineLimits(
            memory: (a.memory + b.memory) / 2, cache: (a.cache + b.cache) / 2,
            peak: (a.peak + b.peak) / 2, integerPeak: (a.integerPeak + b.integerPeak) / 2)
    }

    /// Field by field.
    package static func medians(of samples: [MachineLimits]) -> MachineLimits {
        func median(_ value: (MachineLimits) -> Double) -> Double {
            let sorted = samples.map(value).sorted()
            return sorted.isEmpty ? 0 : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        }
        return MachineLimits(
            memory: median(\.memory), cache: median(\.cache), peak: median(\.peak),
            integerPeak: median(\.integerPeak))
    }
}

/// Probes the machine through a backend's own threads and kernels.
package final class MachineProbe {
    private let backend: CPUBackend
    private let pages: CPUPages
    private let integers: EngineConfig.Quantization?
    private let cacheSample: Int
    private var place = 0
    private var last = MachineLimits(memory: 0, cache: 0, peak: 0)

    /// Bytes of memory that are read by turns, far more than any cache has.
    private static let memorySize = 256 << 20
    /// Bytes of one reading.
    private static let sampleSize = 32 << 20

    /// - Parameter integers: The weights whose products of integers are measured too.
    package init(_ backend: CPUBackend, integers: EngineConfig.Quantization? = nil) throws(LLMError) {
        self.backend = backend
        self.integers = integers
        pages = try CPUPages(byteCount: Self.memorySize, for: "the bandwidth probe")
        // Untouched pages would all be the one page of zeros.
        pages.memory.initializeMemory(as: UInt8.self, repeating: 1, count: Self.memorySize)
        cacheSample = min(max(Platform.lastCacheSize() * 3 / 8, 1 << 20), 16 << 20)
    }

    /// What the machine can do now, as the best of two short readings. What the work has nothing of keeps its last
    /// value. Takes some five milliseconds.
    package func measure(for work: OperationWork? = nil) -> MachineLimits {
        func best(_ needed: Double?, _ field: WritableKeyPath<MachineLimits, Double>, _ read: () -> Double) {
            if needed == 0 && last[keyPath: field] > 0 { return }
            last[keyPath: field] = max(read(), read())
        }
        best(work?.memoryBytes, \.memory) {
            place = (place + Self.sampleSize) % Self.memorySize
            return backend.readBandwidth(pages.memory + place, byteCount: Self.sampleSize, passes: 1)
        }
        best(work?.cacheBytes, \.cache) {
            backend.readBandwidth(pages.memory, byteCount: cacheSample, passes: 8)
        }
        best(work?.floatOperations, \.peak) { backend.multiplyPeak(nil) }
        if let integers {
            best(work?.integerOperations, \.integerPeak) { backend.multiplyPeak(integers) }
        }
        return last
    }

    /// The medians of several.
    package func measure(times: Int) -> MachineLimits {
        .medians(of: (0..<times).map { _ in measure() })
    }
}

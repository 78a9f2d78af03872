// What scalars that are only a way of writing others become in forms KC and KD.
// Owned by CanonicalForm; unpacked once a process, at the first text that is normalized so.
// Invariant: the parts of a scalar lie inside `pool`.

struct CompatibilityMappings: Sendable {
    static let shared = CompatibilityMappings(canonical: CanonicalForm.shared)

    private struct Parts {
        var start: UInt32
        var count: UInt32
    }

    private var parts: [UInt32: Parts] = [:]
    private var pool: [UInt32] = []
    /// Scalars without a mapping that canonically begin with one that has one.
    private var beginning: Set<UInt32> = []
    /// Bit n: scalar n of the first 65,536 has a mapping.
    private var isMapped = [UInt64](repeating: 0, count: 1024)

    private init(canonical: CanonicalForm) {
        var scalar: UInt32 = 0
        for entry in String(describing: CompatibilityData.entries).split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            let fields = entry.split(separator: ",")
            let place = fields[0].split(separator: "*").compactMap { UInt32($0, radix: 36) }
            let targets = fields.dropFirst().compactMap { UInt32($0, radix: 36) }
            scalar += place[0]
            if place.count == 2 {
                for offset in 0..<place[1] { insert([targets[0] + offset], at: scalar + offset) }
                scalar += place[1] - 1
            } else {
                insert(targets, at: scalar)
            }
        }
        canonical.forEachDecomposition { scalar, first in
            if parts[first] != nil { beginning.insert(scalar) }
        }
    }

    private mutating func insert(_ targets: [UInt32], at scalar: UInt32) {
        parts[scalar] = Parts(start: UInt32(pool.count), count: UInt32(targets.count))
        pool += targets
        if scalar < 0x10000 { isMapped[Int(scalar >> 6)] |= 1 << UInt64(scalar & 63) }
    }

    /// Whether a scalar is another one in forms KC and KD, whatever form C makes of it.
    func changes(_ value: UInt32) -> Bool { parts(of: value) != nil || beginning.contains(value) }

    /// What a scalar becomes; nil when it has no mapping of its own.
    func parts(of value: UInt32) -> ArraySlice<UInt32>? {
        if value < 0x10000 && isMapped[Int(value >> 6)] >> UInt64(value & 63) & 1 == 0 { return nil }
        guard let found = parts[value] else { return nil }
        return pool[Int(found.start)..<Int(found.start + found.count)]
    }
}

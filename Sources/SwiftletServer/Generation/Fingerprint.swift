// Fingerprint: a hash that is the same in every process, to tell whether something has changed. Not one against people
// who want two things to look the same.

package enum Fingerprint {
    /// 64-bit FNV-1a.
    package static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}

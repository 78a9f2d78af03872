// Safetensors: one checkpoint file, mapped into memory (or lying in the binary), its header checked in full.
// The checks are those of the format's reference implementation: a bounded header, known types, byte counts that
// match the shapes, and data that covers the rest of the file without holes, overlaps or a byte left over.
// Owned by a Checkpoint; the mapping goes with the last reference.
// Invariant: after init, every tensor's byte range lies inside the file, so reading it can't leave the mapping.

internal import SwiftletJSON

package final class Safetensors {
    /// Element types of the format. Weights are read from the first three; the others can lie in a file unused.
    package enum ElementType: String, Sendable, Hashable {
        case float32 = "F32"
        case float16 = "F16"
        case bfloat16 = "BF16"
        case bool = "BOOL"
        case uint8 = "U8"
        case int8 = "I8"
        case uint16 = "U16"
        case int16 = "I16"
        case uint32 = "U32"
        case int32 = "I32"
        case uint64 = "U64"
        case int64 = "I64"
        case float64 = "F64"
        case complex64 = "C64"
        case float8e5m2 = "F8_E5M2"
        case float8e4m3 = "F8_E4M3"
        case float8e8m0 = "F8_E8M0"
        case float6e2m3 = "F6_E2M3"
        case float6e3m2 = "F6_E3M2"
        case float4 = "F4"

        package var bitCount: Int {
            switch self {
            case .float4: 4
            case .float6e2m3, .float6e3m2: 6
            case .bool, .uint8, .int8, .float8e5m2, .float8e4m3, .float8e8m0: 8
            case .uint16, .int16, .float16, .bfloat16: 16
            case .uint32, .int32, .float32: 32
            case .uint64, .int64, .float64, .complex64: 64
            }
        }
    }

    package struct Description: Sendable, Hashable {
        package var type: ElementType
        package var shape: [Int]
        /// In the file.
        package var byteRange: Range<Int>
    }

    /// The file's name, for messages.
    package let name: String
    package let tensors: [String: Description]

    private let storage: UnsafeRawBufferPointer
    /// Unmaps the file when this object goes.
    private let mapping: MappedFile?
    /// Whether it is a file, mapped; not bytes that lie in memory for good.
    package let isMapped: Bool

    /// Maps a file.
    package convenience init(path: String) throws(LLMError) {
        let mapping = try MappedFile(path)
        try self.init(storage: mapping.bytes, mapping: mapping, isMapped: true, name: path)
    }

    /// Reads bytes that outlive this object: a file embedded in the binary, or a buffer a test owns.
    package convenience init(bytes: UnsafeRawBufferPointer, name: String) throws(LLMError) {
        try self.init(storage: bytes, mapping: nil, isMapped: false, name: name)
    }

    private init(
        storage: UnsafeRawBufferPointer, mapping: consuming MappedFile?, isMapped: Bool, name: String
    ) throws(LLMError) {
        tensors = try SafetensorsHeader.parse(storage, name: name)
        self.storage = storage
        self.mapping = mapping
        self.isMapped = isMapped
        self.name = name
    }

    /// Lends a tensor's bytes, row-major and little-endian. They may lie at an odd address: elements must be read
    /// as unaligned. The pointer must not leave `body`.
    package func withBytes<R, E: Error>(
        of tensor: Description, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        precondition(tensor.byteRange.upperBound <= storage.count, "a tensor of another file")
        let bytes = UnsafeRawBufferPointer(rebasing: storage[tensor.byteRange])
        return try withExtendedLifetime(self) { () throws(E) in try body(bytes) }
    }
}

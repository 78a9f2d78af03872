// SafetensorsHeader: reads and checks the table in front of a safetensors file.
// The file is 8 bytes of little-endian header length N, N bytes of JSON {"name": {"dtype", "shape",
// "data_offsets": [begin, end]}, …, "__metadata__": {…}}, then the data that the offsets count from.
// Everything in it is hostile until checked: a length past the file, shapes whose product overflows, ranges that
// overlap. Owned by nobody; one function that answers a table or an error.
// Invariant: what is returned describes bytes inside the file, and together all bytes after the header.

internal import SwiftletJSON

enum SafetensorsHeader {
    /// The reference implementation's limit.
    private static let maximumByteCount = 100_000_000
    private static let maximumRank = 64

    static func parse(
        _ file: UnsafeRawBufferPointer, name: String
    ) throws(LLMError) -> [String: Safetensors.Description] {
        let header = try headerBytes(file, name: name)
        let dataStart = 8 + header.count
        let document: JSONDocument
        do {
            document = try JSONDocument(parsing: header, maximumDepth: 16, rejectDuplicateKeys: true)
        } catch {
            throw invalid(name, "the header is not valid JSON: \(error)")
        }
        guard document.root.kind == .object else { throw invalid(name, "the header is not a JSON object") }

        var tensors: [String: Safetensors.Description] = [:]
        for (key, value) in document.root.members where key != "__metadata__" {
            tensors[key] = try description(of: key, value, dataStart: dataStart, fileSize: file.count, name: name)
        }
        try checkCoverage(tensors, dataStart: dataStart, fileSize: file.count, name: name)
        return tensors
    }

    private static func invalid(_ name: String, _ text: String) -> LLMError {
        LLMError(.invalidModel, "\(name): \(text)")
    }

    private static func headerBytes(_ file: UnsafeRawBufferPointer, name: String) throws(LLMError) -> [UInt8] {
        guard file.count >= 8 else {
            throw invalid(name, "the file has \(file.count) bytes and is no safetensors file; it may be truncated")
        }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(maximumByteCount) else {
            throw invalid(
                name, "the header claims \(length) bytes; at most \(maximumByteCount) are allowed (is it safetensors?)")
        }
        guard length <= UInt64(file.count - 8) else {
            throw invalid(
                name, "the header claims \(length) bytes, but the file has \(file.count) in all; it is truncated")
        }
        return Array(file[8..<8 + Int(length)])
    }

    private static func description(
        of tensor: String, _ value: JSONValue, dataStart: Int, fileSize: Int, name: String
    ) throws(LLMError) -> Safetensors.Description {
        guard let typeName = value["dtype"]?.string else { throw invalid(name, "tensor \(tensor) has no dtype") }
        guard let type = Safetensors.ElementType(rawValue: typeName) else {
            throw invalid(name, "tensor \(tensor) has the unknown dtype \(typeName)")
        }
        guard let shapeValue = value["shape"], let shape = counts(shapeValue, atMost: maximumRank) else {
            throw invalid(name, "tensor \(tensor) has no shape of non-negative integers")
        }
        guard let offsetsValue = value["data_offsets"], let offsets = counts(offsetsValue, atMost: 2),
            offsets.count == 2, offsets[0] <= offsets[1]
        else {
            throw invalid(name, "tensor \(tensor) has no data_offsets [begin, end]")
        }
        guard offsets[1] <= fileSize - dataStart else {
            throw invalid(
                name,
                "tensor \(tensor) ends at byte \(offsets[1]) of the data, which has \(fileSize - dataStart); "
                    + "the file is truncated or lies")
        }
        guard let bytes = byteCount(of: shape, type) else {
            throw invalid(name, "tensor \(tensor) has the absurd shape \(shape)")
        }
        guard bytes == offsets[1] - offsets[0] else {
            throw invalid(
                name,
                "tensor \(tensor) of shape \(shape) and dtype \(typeName) needs \(bytes) bytes; its data_offsets give "
                    + "\(offsets[1] - offsets[0])")
        }
        return Safetensors.Description(
            type: type, shape: shape, byteRange: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    /// A list of non-negative integers.
    private static func counts(_ value: JSONValue, atMost limit: Int) -> [Int]? {
        guard value.kind == .array, value.count <= limit else { return nil }
        var counts: [Int] = []
        for element in value.elements {
            guard let count = element.int, count >= 0 else { return nil }
            counts.append(count)
        }
        return counts
    }

    /// nil if it overflows or is no whole number of bytes.
    private static func byteCount(of shape: [Int], _ type: Safetensors.ElementType) -> Int? {
        var bits = type.bitCount
        for dimension in shape {
            let (product, overflow) = bits.multipliedReportingOverflow(by: dimension)
            guard !overflow else { return nil }
            bits = product
        }
        return bits.isMultiple(of: 8) ? bits / 8 : nil
    }

    /// Sorted by offset, each tensor must begin where the one before it ends, and the last one ends the file.
    private static func checkCoverage(
        _ tensors: [String: Safetensors.Description], dataStart: Int, fileSize: Int, name: String
    ) throws(LLMError) {
        let ordered = tensors.sorted {
            ($0.value.byteRange.lowerBound, $0.value.byteRange.upperBound)
                < ($1.value.byteRange.lowerBound, $1.value.byteRange.upperBound)
        }
        var end = dataStart
        var previous: String?
        for (tensor, description) in ordered {
            let begin = description.byteRange.lowerBound
            if begin < end {
                throw invalid(name, "tensor \(tensor) overlaps tensor \(previous ?? "")")
            }
            if begin > end {
                throw invalid(name, "\(begin - end) bytes before tensor \(tensor) belong to no tensor")
            }
            end = description.byteRange.upperBound
            previous = tensor
        }
        guard end == fileSize else {
            throw invalid(name, "\(fileSize - end) bytes at the end of the file belong to no tensor")
        }
    }
}

#if Server
// EventStream: server-sent events out of bytes as they come (the WHATWG's event stream format).
// Owned by the reader of one answer.
// Invariant: where the bytes are cut changes nothing, and what is kept of them is bounded.

package struct EventStream: Sendable {
    /// An event that is longer than any server's.
    package struct TooLong: Error {
        package init() {}
    }

    /// Bytes of one event.
    package static let limit = 16 << 20

    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    /// The last byte was a carriage return: a line feed behind it belongs to it.
    private var endsWithReturn = false

    package init() {}

    /// Reads on, and hands out the data of every event that is complete.
    package mutating func append<E: Error>(
        _ bytes: UnsafeRawBufferPointer, _ event: ([UInt8]) throws(E) -> Void
    ) throws {
        var rest = bytes[...]
        if endsWithReturn, let first = rest.first {
            if first == UInt8(ascii: "\n") { rest = rest.dropFirst() }
            endsWithReturn = false
        }
        while let end = rest.firstIndex(where: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
            line.append(contentsOf: rest[..<end])
            let isReturn = rest[end] == UInt8(ascii: "\r")
            rest = rest[(end + 1)...]
            if isReturn {
                endsWithReturn = rest.isEmpty
                if rest.first == UInt8(ascii: "\n") { rest = rest.dropFirst() }
            }
            try endLine(event)
        }
        line.append(contentsOf: rest)
        guard line.count + data.count <= Self.limit else { throw TooLong() }
    }

    /// The stream is over. Servers may leave out the empty line behind the last event.
    package mutating func end<E: Error>(_ event: ([UInt8]) throws(E) -> Void) throws {
        if !line.isEmpty { try endLine(event) }
        try endLine(event)
    }

    private mutating func endLine<E: Error>(_ event: ([UInt8]) throws(E) -> Void) throws {
        defer { line.removeAll(keepingCapacity: true) }
        guard !line.isEmpty else {
            defer {
                data.removeAll(keepingCapacity: true)
                hasData = false
            }
            if hasData { try event(data) }
            return
        }
        // Comments and the fields event, id and retry say nothing here.
        guard line.starts(with: "data".utf8) else { return }
        var value = line.dropFirst(4)
        guard value.isEmpty || value.removeFirst() == UInt8(ascii: ":") else { return }
        if value.first == UInt8(ascii: " ") { value.removeFirst() }
        if hasData { data.append(UInt8(ascii: "\n")) }
        data.append(contentsOf: value)
        hasData = true
        guard data.count <= Self.limit else { throw TooLong() }
    }
}
#endif

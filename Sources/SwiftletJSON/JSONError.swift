// What a JSON text can be refused for, with the place where it happened.
// Owned by SwiftletJSON; made by the parser only.
// Invariant: offset lies within 0 ... byte count of the text, line and column count from 1.

/// Why a text is not accepted as JSON, and where.
package struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong, as a phrase without the place.
    package var message: String
    /// The byte offset in the text at which the fault was seen.
    package var offset: Int
    /// The line of `offset`, from 1.
    package var line: Int
    /// The column of `offset` in bytes, from 1.
    package var column: Int

    package var description: String { "\(message) at line \(line), column \(column) (byte \(offset))" }

    /// Computes line and column of a byte offset; an offset past the end is taken as the end.
    package init(_ message: String, at offset: Int, in bytes: UnsafeBufferPointer<UInt8>) {
        self.message = message
        self.offset = min(max(offset, 0), bytes.count)
        var line = 1
        var lineStart = 0
        for index in 0..<self.offset where bytes[index] == UInt8(ascii: "\n") {
            line += 1
            lineStart = index + 1
        }
        self.line = line
        self.column = self.offset - lineStart + 1
    }
}

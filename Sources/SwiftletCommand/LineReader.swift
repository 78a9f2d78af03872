// LineReader: the lines of a file, one at a time, in bounded memory.
// Accepts CRLF, a byte order mark and a last line without an end; a line over the limit is skipped and said so.
// Invariant: the buffer never holds more than one line's limit and one chunk.

import Dispatch
import Swiftlet
import Synchronization

/// Reads lines. Used by one task at a time.
package final class LineReader: Sendable {
    package enum Line: Hashable, Sendable {
        /// A line without its end.
        case text([UInt8])
        /// A line that is longer than the limit.
        case tooLong

        /// Whether it holds nothing but spaces: no request, and none is missed.
        package var isBlank: Bool {
            guard case .text(let bytes) = self else { return false }
            return bytes.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
        }
    }

    /// A line and where it is in the file.
    package struct Entry: Hashable, Sendable {
        package var line: Line
        /// From 1.
        package var number: Int
        /// How many lines before it are not blank: its place among the requests of a file.
        package var index: Int
        /// What it took in the file, its end included.
        package var byteCount: Int

        package init(line: Line, number: Int, index: Int, byteCount: Int) {
            self.line = line
            self.number = number
            self.index = index
            self.byteCount = byteCount
        }
    }

    private struct State {
        var buffer: [UInt8] = []
        /// Where the next line starts in the buffer.
        var start = 0
        /// Up to where the buffer is known to hold no line end.
        var searched = 0
        var number = 0
        /// Lines so far that are not blank.
        var requests = 0
        /// Bytes of an over-long line that were thrown away.
        var discarded = 0
        var isAtEnd = false
    }

    package static let defaultLimit = 16 << 20
    private static let chunkSize = 256 << 10
    private static let newline = UInt8(ascii: "\n")

    private let file: File
    private let limit: Int
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "swiftlet.input")

    package init(_ file: File, limit: Int = LineReader.defaultLimit) {
        self.file = file
        self.limit = limit
    }

    /// The next line, or nil at the end. Waits for a pipe off the task's thread; cancelling the task ends the wait.
    package func next() async throws -> Entry? {
        while true {
            if let entry = state.withLock({ takeLine(&$0) }) { return entry }
            try Task.checkCancellation()
            if state.withLock({ $0.isAtEnd }) { return nil }
            try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
                queue.async { done.resume(with: Result { try self.fill() }) }
            }
        }
    }

    /// The next line that is not blank, or nil at the end.
    package func nextRequest() async throws -> Entry? {
        while let entry = try await next() {
            if !entry.line.isBlank { return entry }
        }
        return nil
    }

    /// Lines so far that are not blank.
    package var requestCount: Int { state.withLock { $0.requests } }

    /// Reads one chunk if it comes within a moment.
    private func fill() throws {
        guard file.waitForInput(milliseconds: 100) else { return }
        let chunk = try [UInt8](unsafeUninitializedCapacity: Self.chunkSize) { space, count in
            count = try file.read(into: UnsafeMutableRawBufferPointer(space))
        }
        state.withLock { state in
            state.isAtEnd = chunk.isEmpty
            state.buffer.removeFirst(state.start)
            state.searched -= state.start
            state.start = 0
            state.buffer.append(contentsOf: chunk)
        }
    }

    private func takeLine(_ state: inout State) -> Entry? {
        let end = state.buffer.withUnsafeBufferPointer { $0[state.searched...].firstIndex(of: Self.newline) }
        if let end {
            return finish(&state, end: end, next: end + 1)
        }
        state.searched = state.buffer.count
        if state.isAtEnd {
            let isEmpty = state.start == state.buffer.count && state.discarded == 0
            return isEmpty ? nil : finish(&state, end: state.buffer.count, next: state.buffer.count)
        }
        // Keep counting an over-long line, but not its bytes.
        if state.buffer.count - state.start > limit {
            state.discarded += state.buffer.count - state.start
            state.buffer.removeAll(keepingCapacity: true)
            state.start = 0
            state.searched = 0
        }
        return nil
    }

    private func finish(_ state: inout State, end: Int, next: Int) -> Entry {
        let byteCount = state.discarded + next - state.start
        var text = state.buffer[state.start..<end]
        let isTooLong = state.discarded > 0 || text.count > limit
        if state.number == 0, text.starts(with: [0xEF, 0xBB, 0xBF]) { text = text.dropFirst(3) }
        if text.last == UInt8(ascii: "\r") { text = text.dropLast() }
        state.number += 1
        state.start = next
        state.searched = next
        state.discarded = 0
        let entry = Entry(
            line: isTooLong ? .tooLong : .text(Array(text)), number: state.number, index: state.requests,
            byteCount: byteCount)
        if !entry.line.isBlank { state.requests += 1 }
        return entry
    }
}

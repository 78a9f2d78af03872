// The part of OrderedOutput that goes on where a run that was killed left off.
// A line counts when it is whole and says which request it answers; what lies behind the first one that does not is cut
// off and done again. The input must still have, in their places, the requests that were answered.
// Invariant: each request has one line at the end, and that line answers the request as the input has it now.

import Swiftlet

/// What a result line says of itself, so that a later run knows what it answers.
package struct ResultMark: Hashable, Sendable {
    /// Which request of the input.
    package var index: Int
    /// What the request's line was made to by a hash.
    package var fingerprint: UInt64

    package init(index: Int, fingerprint: UInt64) {
        self.index = index
        self.fingerprint = fingerprint
    }
}

/// The answers that an earlier run left.
package struct EarlierResults: Sendable {
    /// By a request's place in the input; nil where there is no answer.
    private var fingerprints: [UInt64?] = []
    package private(set) var count = 0

    /// Answers come in the order in which they were ready, from a window that moves along the input: one that is as far
    /// ahead of its place as this is none of ours.
    private static let widestWindow = 1 << 17

    package init() {}

    fileprivate func takes(_ mark: ResultMark) -> Bool {
        (0..<count + Self.widestWindow).contains(mark.index)
    }

    fileprivate mutating func add(_ mark: ResultMark) {
        while fingerprints.count <= mark.index { fingerprints.append(nil) }
        fingerprints[mark.index] = mark.fingerprint
        count += 1
    }

    /// Reads the input to behind the last request that has an answer, and one further, so that nothing is returned only
    /// when all are answered.
    ///
    /// - Parameter fingerprint: The hash that the lines' marks were made with.
    /// - Returns: The requests that have no answer, and the bytes of those that have one.
    /// - Throws: ``LLMError`` when the input does not have the requests that were answered.
    package func unanswered(
        in reader: LineReader, of path: String, fingerprint: (LineReader.Line) -> UInt64
    ) async throws -> (entries: [LineReader.Entry], answeredBytes: Int) {
        let advice = "run with the input of that run, or remove \(path).partial to begin anew"
        var entries: [LineReader.Entry] = []
        var bytes = 0
        var left = count
        while left > 0 {
            guard let entry = try await reader.nextRequest() else {
                throw LLMError(
                    .inputOutput,
                    "the input has \(Format.count(reader.requestCount, "request")), and \(path).partial has answers to more; \(advice)"
                )
            }
            guard let expected = entry.index < fingerprints.count ? fingerprints[entry.index] : nil else {
                entries.append(entry)
                continue
            }
            guard expected == fingerprint(entry.line) else {
                throw LLMError(
                    .inputOutput,
                    "line \(entry.number) of the input is not the one that \(path).partial has an answer to; \(advice)")
            }
            bytes += entry.byteCount
            left -= 1
        }
        if let next = try await reader.nextRequest() { entries.append(next) }
        return (entries, bytes)
    }
}

extension OrderedOutput {
    /// Opens `path`.partial to go on with it.
    ///
    /// - Parameter mark: Reads a result line without its end; nil for what is none. What it throws ends everything, and
    ///   the file is as it was.
    /// - Returns: The output, and what it has.
    package static func resuming(
        _ path: String, input: File?, mark: ([UInt8]) throws -> ResultMark?
    ) async throws -> (OrderedOutput, EarlierResults) {
        let partial = try lock(path, input: input)
        let reader = LineReader(partial, limit: .max)
        var state = State()
        var earlier = EarlierResults()
        while let entry = try await reader.next() {
            // Ours are UTF-8 without a byte order mark and end with one byte.
            guard case .text(let bytes) = entry.line, entry.byteCount == bytes.count + 1, let mark = try mark(bytes),
                earlier.takes(mark), state.add(length: entry.byteCount, at: mark.index)
            else { break }
            earlier.add(mark)
        }
        let size = partial.size ?? 0
        if earlier.count == 0 && size > 0 {
            return (try OrderedOutput(keeping: partial, of: path), earlier)
        }
        if state.end < size { try partial.truncate(to: state.end) }
        return (OrderedOutput(path, partial, state), earlier)
    }
}

// OrderedOutput: result lines that finish in any order, in a file that has them in input order.
// Each goes to PATH.partial at once and to the disk within a second, so that a crash loses nothing; `finish()` puts them
// in order beside PATH, waits for the disk and renames. Owned by the batch; lines come from any task.
// Invariant: PATH itself is not touched before the rename, and after it holds every line or is as it was.

import Dispatch
package import Swiftlet
import Synchronization

package final class OrderedOutput: Sendable {
    struct State {
        /// Where each line is in the partial file, by its place in the input; -1 while it is not there.
        var offsets: [Int] = []
        var lengths: [Int] = []
        var end = 0
        var count = 0
        /// Whether a synchronisation is on its way.
        var awaitsDisk = false
        /// Why nothing more can be written.
        var failure: LLMError?

        /// Notes a line at the end of the partial file; false when there is one of this place already.
        mutating func add(length: Int, at index: Int) -> Bool {
            if offsets.count <= index {
                let missing = index + 1 - offsets.count
                offsets.append(contentsOf: repeatElement(-1, count: missing))
                lengths.append(contentsOf: repeatElement(0, count: missing))
            }
            guard offsets[index] < 0 else { return false }
            offsets[index] = end
            lengths[index] = length
            end += length
            count += 1
            return true
        }
    }

    package let path: String
    package let partialPath: String
    /// The name that an earlier run's unfinished lines were moved to.
    package let keptPath: String?
    private let partial: File
    private let state: Mutex<State>
    private let queue = DispatchQueue(label: "swiftlet.output")

    /// Lines written so far, those of an earlier run included.
    package var count: Int { state.withLock { $0.count } }

    // MARK: Opening

    private static func partialPath(of path: String) -> String { path + ".partial" }

    /// Finds out what `init` would refuse, before a model is loaded for nothing.
    package static func check(_ path: String, input: File?) throws(LLMError) {
        let directory = File.directory(of: path)
        guard File.isWritableDirectory(directory) else {
            throw LLMError(.inputOutput, "can't write \(path): \(directory) is not a folder that can be written to")
        }
        let partialPath = partialPath(of: path)
        for name in [path, partialPath, partialPath + ".old", partialPath + ".ordered"] where File.exists(name) {
            let existing = try File(name, .read)
            if existing.isDirectory { throw LLMError(.inputOutput, "can't write \(name): it is a folder") }
            guard existing.isRegular else {
                throw LLMError(.inputOutput, "can't write \(name): it is not a regular file")
            }
            if let identity = input?.identity, identity == existing.identity {
                throw LLMError(.inputOutput, "input and output are the same file, \(name); choose another output")
            }
        }
    }

    /// Opens `path`.partial. An earlier run's is moved to `path`.partial.old; one in use is refused.
    package convenience init(_ path: String, input: File?) throws(LLMError) {
        let partial = try Self.lock(path, input: input)
        if partial.size == 0 {
            self.init(path, partial, State())
        } else {
            try self.init(keeping: partial, of: path)
        }
    }

    /// Moves what `path`.partial has out of the way, which `partial` has locked.
    convenience init(keeping partial: File, of path: String) throws(LLMError) {
        let name = Self.partialPath(of: path)
        try File.rename(name, to: name + ".old")
        self.init(path, try Self.lock(path, input: nil), State(), kept: name + ".old")
    }

    init(_ path: String, _ partial: File, _ state: State, kept: String? = nil) {
        self.path = path
        partialPath = Self.partialPath(of: path)
        keptPath = kept
        self.partial = partial
        self.state = Mutex(state)
    }

    /// Opens `path`.partial, which is made if need be, and keeps other runs off it.
    static func lock(_ path: String, input: File?) throws(LLMError) -> File {
        try check(path, input: input)
        let name = partialPath(of: path)
        while true {
            let file = try File(name, .append)
            guard file.tryLock() else {
                throw LLMError(.inputOutput, "\(name) is in use by another run; choose another output")
            }
            // Who had the lock until now may have given the name away.
            guard File.identity(of: name) == file.identity else { continue }
            try? File(File.directory(of: path), .read).synchronize()
            return file
        }
    }

    // MARK: Writing

    /// Writes the line of input number `index`, its end included, with one call.
    package func write(_ line: [UInt8], at index: Int) throws(LLMError) {
        let result = state.withLock { state in
            Result { () throws(LLMError) in
                if let failure = state.failure { throw failure }
                do throws(LLMError) {
                    try partial.write(line)
                } catch {
                    // Part of the line may be there: nothing must come behind it.
                    state.failure = error
                    try? partial.truncate(to: state.end)
                    throw error
                }
                let isNew = state.add(length: line.count, at: index)
                precondition(isNew, "a line is written once")
                guard !state.awaitsDisk else { return }
                state.awaitsDisk = true
                queue.asyncAfter(deadline: .now() + 1) { [weak self] in self?.synchronize() }
            }
        }
        try result.get()
    }

    /// Brings what has been written to the disk.
    private func synchronize() {
        state.withLock { $0.awaitsDisk = false }
        do throws(LLMError) {
            try partial.synchronize()
        } catch {
            state.withLock { $0.failure = error }
        }
    }

    /// Removes the partial file if nothing is in it.
    package func removeIfEmpty() {
        if count == 0 { File.remove(partialPath) }
    }

    /// Makes `path` of the lines 0..<count, all of which have been written.
    package func finish(count: Int) throws(LLMError) {
        let (offsets, lengths, failure) = state.withLock { ($0.offsets, $0.lengths, $0.failure) }
        if let failure { throw failure }
        precondition(offsets.count == count && !offsets.contains(-1), "every line is written before the end")
        let ordered = partialPath + ".ordered"
        File.remove(ordered)
        do {
            let file = try File(ordered, .createNew)
            try copy(offsets, lengths, to: file)
            try file.synchronize()
            try File.rename(ordered, to: path)
        } catch {
            File.remove(ordered)
            throw error
        }
        // OUT is in place; that the directory can't be synchronised (some file systems refuse) takes nothing away.
        try? File(File.directory(of: path), .read).synchronize()
        File.remove(partialPath)
    }

    /// Copies line after line; neighbours that are neighbours in the partial file too go together.
    private func copy(_ offsets: [Int], _ lengths: [Int], to file: File) throws(LLMError) {
        let chunkSize = 1 << 20
        var start = 0
        var end = 0
        func flush() throws(LLMError) {
            while start < end {
                let count = min(chunkSize, end - start)
                var bytes = [UInt8](repeating: 0, count: count)
                let outcome = bytes.withUnsafeMutableBytes { buffer in
                    Result { () throws(LLMError) in try partial.read(into: buffer, at: start) }
                }
                try outcome.get()
                try file.write(bytes)
                start += count
            }
        }
        for (offset, length) in zip(offsets, lengths) {
            if offset != end {
                try flush()
                start = offset
            }
            end = offset + length
        }
        try flush()
    }
}

// OrderedOutput: result lines that finish in any order, in a file that has them in input order.
// Each goes to PATH.partial at once, so that a crash loses nothing; `finish()` puts them in order beside
// PATH, waits for the disk and renames. Owned by the batch; lines come from any task.
// Invariant: PATH itself is not touched before the rename, and after it holds every line or is as it was.

package import Swiftlet
import Synchronization

package final class OrderedOutput: Sendable {
    private struct State {
        /// Where each line is in the partial file, by its place in the input; -1 while it is not there.
        var offsets: [Int] = []
        var lengths: [Int] = []
        var end = 0
        var count = 0
    }

    package let path: String
    package let partialPath: String
    /// The name that an earlier run's unfinished lines were moved to.
    package let keptPath: String?
    private let partial: File
    private let state = Mutex(State())

    /// Lines written so far.
    package var count: Int { state.withLock { $0.count } }

    /// Finds out what `init` would refuse, before a model is loaded for nothing.
    package static func check(_ path: String, input: File?) throws(LLMError) {
        let directory = File.directory(of: path)
        guard File.isWritableDirectory(directory) else {
            throw LLMError(.inputOutput, "can't write \(path): \(directory) is not a folder that can be written to")
        }
        for name in [path, path + ".partial"] where File.exists(name) {
            let existing = try File(name, .read)
            if existing.isDirectory { throw LLMError(.inputOutput, "can't write \(name): it is a folder") }
            guard existing.isRegular else {
                throw LLMError(.inputOutput, "can't write \(name): it is not a regular file")
            }
            if let identity = input?.identity, identity == existing.identity {
                throw LLMError(.inputOutput, "--input and --output are the same file, \(name); choose another output")
            }
        }
    }

    /// Opens `path`.partial. An earlier run's is moved to `path`.partial.old; one in use is refused.
    package init(_ path: String, input: File?) throws(LLMError) {
        try Self.check(path, input: input)
        self.path = path
        partialPath = path + ".partial"
        var keptPath: String?
        if File.exists(partialPath) {
            let earlier = try File(partialPath, .update)
            guard earlier.tryLock() else {
                throw LLMError(.inputOutput, "\(partialPath) is in use by another run; choose another output")
            }
            if earlier.size == 0 {
                File.remove(partialPath)
            } else {
                try File.rename(partialPath, to: path + ".partial.old")
                keptPath = path + ".partial.old"
            }
        }
        self.keptPath = keptPath
        partial = try File(partialPath, .createNew)
        _ = partial.tryLock()
    }

    /// Writes the line of input number `index`, its end included, with one call.
    package func write(_ line: [UInt8], at index: Int) throws(LLMError) {
        let result = state.withLock { state in
            Result { () throws(LLMError) in
                try partial.write(line)
                while state.offsets.count <= index {
                    state.offsets.append(-1)
                    state.lengths.append(0)
                }
                precondition(state.offsets[index] < 0, "a line is written once")
                state.offsets[index] = state.end
                state.lengths[index] = line.count
                state.end += line.count
                state.count += 1
            }
        }
        try result.get()
    }

    /// Makes `path` of the lines 0..<count, all of which have been written.
    package func finish(count: Int) throws(LLMError) {
        let (offsets, lengths) = state.withLock { ($0.offsets, $0.lengths) }
        precondition(offsets.count == count && !offsets.contains(-1), "every line is written before the end")
        let ordered = "\(path).ordered-\(File.processIdentifier)"
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

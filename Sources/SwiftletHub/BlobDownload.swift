// BlobDownload: one file of a model into the cache's blobs: what is there of it is kept, the rest is fetched, the whole is
// checked, and only then does it get its name. Another process that wants the same file waits for this one.
// Invariant: `blobs/HASH` has that hash; what has not is `blobs/HASH.incomplete`, and its bytes are a beginning of it.

#if Server
import AsyncHTTPClient
import Logging
import NIOCore
import NIOHTTP1
import Swiftlet

struct BlobDownload {
    let file: RemoteFile
    let address: HubURL
    let question: HubQuestion
    let commit: String
    /// The model's folder in the cache.
    let folder: String
    /// Where the model's locks are.
    let locks: String
    let client: HubClient
    let meter: ProgressMeter

    private var blob: String { "\(folder)/blobs/\(file.id.hex)" }
    private var isThere: Bool { CacheFolder.size(of: blob) == file.size }

    /// Returns once the blob is there and whole.
    func run() async throws {
        if !isThere {
            let lock = try await lock()
            defer { withExtendedLifetime(lock) {} }
            // Whoever had the lock may have done the work.
            if !isThere { return try await fetch() }
        }
        meter.count(file.size, transferred: false)
        meter.finishFile()
    }

    private func lock() async throws -> CacheFile {
        let path = "\(locks)/\(file.id.hex).lock"
        var isFirst = true
        while true {
            if let lock = try CacheFile.lock(path) { return lock }
            if isFirst { client.logger.notice("waiting for another download of \(file.path)") }
            isFirst = false
            try await Task.sleep(for: client.settings.lockPause)
        }
    }

    // MARK: Fetching

    /// What is there of the file.
    private struct Part {
        let file: CacheFile
        var hasher: BlobHasher
        var count = 0
        /// Whether some of it is from an earlier run, whose other end nobody knows.
        var isInherited = false
        /// The name that the sender gives the contents, for as long as this process asks.
        var validator: String?
    }

    private func fetch() async throws {
        var part = Part(
            file: try CacheFile.partial(blob + ".incomplete"), hasher: BlobHasher(for: file.id, size: file.size))
        do {
            try await inherit(&part)
            while true {
                try await complete(&part)
                if part.hasher.finalize() == file.id.hex { break }
                // What an earlier run left may be the fault: once more, from the start.
                guard part.isInherited else {
                    CacheFolder.remove(part.file.path)
                    throw LLMError(
                        .downloadFailed,
                        "\(file.path) of \(question.model) came with another checksum than the hub announced "
                            + "(\(file.id.hex)); it was thrown away")
                }
                client.logger.warning("what was left of \(file.path) is damaged; fetching it anew")
                try restart(&part)
            }
            try part.file.synchronize()
            try CacheFolder.rename(part.file.path, to: blob)
            meter.finishFile()
        } catch let error as LLMError where error.code == .inputOutput {
            // A full disk is nobody's friend: what came is given back.
            CacheFolder.remove(part.file.path)
            throw error
        }
    }

    /// Takes over what an earlier run left.
    private func inherit(_ part: inout Part) async throws {
        let size = part.file.size
        guard size <= file.size else { return try part.file.truncate() }
        part.isInherited = size > 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while part.count < size {
            try Task.checkCancellation()
            let count = try part.file.read(into: buffer, at: part.count)
            guard count > 0 else { break }
            part.hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            part.count += count
            meter.count(count, transferred: false)
        }
    }

    private func restart(_ part: inout Part) throws {
        try part.file.truncate()
        meter.count(-part.count, transferred: false)
        part.hasher = BlobHasher(for: file.id, size: file.size)
        part.count = 0
        part.isInherited = false
        part.validator = nil
    }

    /// Fetches until the file has its size. As long as it grows, failures are forgiven.
    private func complete(_ part: inout Part) async throws {
        var failures = 0
        var mark = part.count
        while part.count < file.size {
            let reason: String
            var retryAfter: Duration?
            do {
                try await fetchRest(&part)
                continue
            } catch HubFailure.final(let error) {
                throw error
            } catch HubFailure.unreachable(let words) {
                reason = words
            } catch HubFailure.temporary(let words, let wait) {
                (reason, retryAfter) = (words, wait)
            }
            if part.count - mark >= client.settings.growth { failures = 0 }
            mark = max(mark, part.count)
            failures += 1
            guard failures < client.settings.attempts else {
                throw LLMError(
                    .downloadFailed,
                    "\(file.path): \(reason), \(failures) times in a row; \(Text.bytes(part.count)) of "
                        + "\(Text.bytes(file.size)) are kept, and the same command goes on from there")
            }
            try await client.pause(after: failures, "\(file.path): \(reason)", retryAfter: retryAfter)
        }
    }

    private func fetchRest(_ part: inout Part) async throws {
        var headers = HTTPHeaders()
        if part.count > 0 {
            headers.add(name: "range", value: "bytes=\(part.count)-")
            if let validator = part.validator { headers.add(name: "if-range", value: validator) }
        }
        // Always from the hub on: where it sends us is signed for a while only.
        let answer = try await client.send(.GET, address, headers: headers)
        if answer.status == 416 {
            try restart(&part)
            throw HubFailure.temporary("\(answer.url.origin.host) has no such part")
        }
        if let failure = HubClient.failure(answer, asking: question, hasToken: client.settings.token != nil) {
            throw failure
        }
        try HubClient.checkEncoding(answer)
        try checkIdentity(answer)
        try place(answer, &part)
        part.validator = answer.headers.first(name: "etag").flatMap { $0.hasPrefix("\"") ? $0 : nil }
        do {
            for try await bytes in answer.body {
                guard part.count + bytes.readableBytes <= file.size else {
                    throw HubFailure.refused("\(file.path) is longer than the \(file.size) bytes that were announced")
                }
                try bytes.withUnsafeReadableBytes { bytes in
                    try part.file.write(bytes, at: part.count)
                    part.hasher.update(bytes)
                }
                part.count += bytes.readableBytes
                meter.count(bytes.readableBytes, transferred: true)
            }
        } catch {
            throw HubClient.failure(reading: error, answer.url)
        }
        if part.count < file.size { throw HubFailure.temporary("\(answer.url.origin.host) ended too early") }
    }

    /// The hub must still mean the same file.
    private func checkIdentity(_ answer: HubClient.Answer) throws {
        if let named = answer.hubHeaders.first(name: "x-repo-commit"), HubCache.isCommit(named), named != commit {
            throw HubFailure.refused("the hub gives \(file.path) of another commit than it was asked for")
        }
        if let named = answer.hubHeaders.first(name: "x-linked-etag").flatMap({ BlobID($0) }), named != file.id {
            throw HubFailure.refused("the hub gives another \(file.path) than it listed")
        }
    }

    /// Finds out where the bytes belong that are about to come.
    private func place(_ answer: HubClient.Answer, _ part: inout Part) throws {
        if answer.status == 206 {
            let range = (answer.headers.first(name: "content-range") ?? "").split { " -/".contains($0) }
            guard range.count == 4, range[0] == "bytes", Int(range[1]) == part.count,
                range[3] == "*" || Int(range[3]) == file.size
            else {
                try restart(&part)
                throw HubFailure.temporary("\(answer.url.origin.host) sends another part than it was asked for")
            }
            return
        }
        // All of it: the server does not know parts, or has other contents now.
        if part.count > 0 { try restart(&part) }
        if let length = answer.headers.first(name: "content-length").flatMap({ Int($0) }), length != file.size {
            throw HubFailure.refused(
                "\(file.path) has \(length) bytes; the hub announced \(file.size)")
        }
    }
}
#endif

// Pull: one revision of a model, from the hub's list of files to a folder that can be loaded.
// First what is small, then a look whether the model can be run and fits on the disk, then the weights, then the links.
// Invariant: the links and the reference are made after every file was checked.

#if Server
import NIOHTTP1
import Swiftlet

struct Pull {
    let model: HubModelID
    let revision: String
    let contents: Hub.Contents
    let client: HubClient
    let meter: ProgressMeter

    private var settings: HubSettings { client.settings }
    private var folder: String { settings.cache.folder(of: model) }
    private var locks: String { "\(settings.cache.path)/.locks/\(model.folderName)" }

    func run() async throws -> String {
        let listing = try await listing()
        let weights = contents == .model ? try listing.weights(of: model) : nil
        guard listing.entry("config.json") != nil else {
            throw LLMError(.unsupportedModel, "\(model) can't be used: it has no config.json")
        }
        let small = try await files(listing.smallFiles, commit: listing.commit)
        if let file = small.first(where: { $0.size > ModelFiles.Limits.tokenizer }) {
            throw LLMError(.invalidModel, "\(model) can't be used: its \(file.path) has \(file.size) bytes")
        }
        try CacheFolder.make(folder + "/blobs")
        try CacheFolder.make(locks)
        try await download(small, commit: listing.commit)
        var files = small
        if let weights {
            try checkCanRun(small)
            let names = try names(of: weights, among: small)
            var entries: [HubListing.Entry] = []
            for name in names {
                guard let entry = listing.entry(name) else {
                    throw LLMError(
                        .invalidModel,
                        "\(model): model.safetensors.index.json names \(Text.plain(name)), which is not there")
                }
                entries.append(entry)
            }
            let large = try await self.files(entries, commit: listing.commit)
            try await download(large, commit: listing.commit)
            files += large
        }
        return try publish(files, commit: listing.commit)
    }

    // MARK: What there is

    private func question(_ file: String?) -> HubQuestion {
        HubQuestion(model: model, revision: revision, file: file, endpoint: settings.endpoint)
    }

    private func listing() async throws -> HubListing {
        let path = "/api/models/\(model)/revision/\(HubURL.encoded(revision))?blobs=true"
        guard let address = settings.endpoint.appending(path) else { preconditionFailure("an encoded path") }
        return try await client.repeating {
            let answer = try await client.send(.GET, address)
            if let failure = HubClient.failure(answer, asking: question(nil), hasToken: settings.token != nil) {
                throw failure
            }
            let bytes = try await client.body(of: answer)
            do throws(LLMError) {
                return try HubListing(bytes, maxFiles: settings.maxFiles)
            } catch {
                throw error.code == .downloadFailed ? HubFailure.temporary(error.message) : HubFailure.final(error)
            }
        }
    }

    private func address(of path: String, commit: String) -> HubURL {
        let encoded = path.split(separator: "/").map { HubURL.encoded(String($0)) }.joined(separator: "/")
        guard let address = settings.endpoint.appending("/\(model)/resolve/\(commit)/\(encoded)") else {
            preconditionFailure("an encoded path")
        }
        return address
    }

    /// Sizes and checksums; asked for file by file where the list does not have them.
    private func files(_ entries: [HubListing.Entry], commit: String) async throws -> [RemoteFile] {
        var files: [RemoteFile] = []
        for entry in entries {
            if let size = entry.size, let id = entry.id {
                files.append(RemoteFile(path: entry.path, size: size, id: id))
                continue
            }
            files.append(try await described(entry.path, commit: commit))
        }
        return files
    }

    private func described(_ path: String, commit: String) async throws -> RemoteFile {
        try await client.repeating {
            let answer = try await client.send(.HEAD, address(of: path, commit: commit), staysOnHub: true)
            let isElsewhere = (300..<400).contains(answer.status)
            if !isElsewhere,
                let failure = HubClient.failure(answer, asking: question(path), hasToken: settings.token != nil)
            {
                throw failure
            }
            let headers = answer.hubHeaders
            let tag = headers.first(name: "x-linked-etag") ?? (isElsewhere ? nil : headers.first(name: "etag"))
            let length =
                headers.first(name: "x-linked-size") ?? (isElsewhere ? nil : headers.first(name: "content-length"))
            guard let id = tag.flatMap({ BlobID($0) }), let size = length.flatMap({ Int($0) }),
                (0...RemoteFile.maxSize).contains(size)
            else {
                throw HubFailure.refused("\(settings.endpoint) tells no size and checksum of \(path)")
            }
            return RemoteFile(path: path, size: size, id: id)
        }
    }

    // MARK: Downloading

    private func download(_ files: [RemoteFile], commit: String) async throws {
        meter.expect(files)
        try checkDiskSpace(files)
        // The same contents under two names are one file.
        var pending = Dictionary(files.map { ($0.id, $0) }) { first, _ in first }.values.sorted { $0.size > $1.size }
        for file in files where !pending.contains(where: { $0.path == file.path }) {
            meter.count(file.size, transferred: false)
            meter.finishFile()
        }
        try await withThrowingTaskGroup { group in
            for _ in 0..<min(settings.parallelDownloads, pending.count) {
                start(pending.removeFirst(), commit, &group)
            }
            while try await group.next() != nil {
                if !pending.isEmpty { start(pending.removeFirst(), commit, &group) }
            }
        }
    }

    private func start(_ file: RemoteFile, _ commit: String, _ group: inout ThrowingTaskGroup<Void, any Error>) {
        let download = BlobDownload(
            file: file, address: address(of: file.path, commit: commit), question: question(file.path), commit: commit,
            folder: folder, locks: locks, client: client, meter: meter)
        group.addTask { try await download.run() }
    }

    private func blob(_ file: RemoteFile) -> String { "\(folder)/blobs/\(file.id.hex)" }

    private func checkDiskSpace(_ files: [RemoteFile]) throws(LLMError) {
        var needed = 0
        for file in Set(files) where CacheFolder.size(of: blob(file)) != file.size {
            let rest = file.size - min(file.size, CacheFolder.size(of: blob(file) + ".incomplete") ?? 0)
            let (sum, overflow) = needed.addingReportingOverflow(rest)
            needed = overflow ? Int.max : sum
        }
        guard let free = CacheFolder.freeBytes(at: folder), needed > free else { return }
        throw LLMError(
            .inputOutput,
            "\(model) takes \(Text.bytes(needed)) more, and where \(settings.cache.path) is, \(Text.bytes(free)) are free; "
                + "make room, or set HF_HOME to a folder on another disk")
    }

    // MARK: Looking before gigabytes come

    private func contents(of path: String, among files: [RemoteFile]) throws(LLMError) -> [UInt8]? {
        guard let file = files.first(where: { $0.path == path }) else { return nil }
        return try Platform.readFile(blob(file), limit: ModelFiles.Limits.config)
    }

    private func checkCanRun(_ files: [RemoteFile]) throws(LLMError) {
        guard let config = try contents(of: "config.json", among: files) else { return }
        do {
            _ = try ModelConfig(
                config: config, generation: try contents(of: "generation_config.json", among: files),
                tokenizer: try contents(of: "tokenizer_config.json", among: files))
        } catch {
            throw LLMError(error.code, "\(model) can't be used: \(error.message)")
        }
    }

    private func names(of weights: HubListing.Weights, among files: [RemoteFile]) throws(LLMError) -> [String] {
        switch weights {
        case .single(let name): return [name]
        case .sharded(let index):
            guard let bytes = try contents(of: index, among: files) else { return [] }
            let names = Set(try Checkpoint.locations(bytes, file: "\(model): \(index)").values).sorted()
            for name in names where !HubListing.isSafe(name) || !name.hasSuffix(".safetensors") {
                throw LLMError(
                    .invalidModel, "\(model): \(index) names \(Text.quoted(name)), which is no safetensors file")
            }
            return names
        }
    }

    // MARK: Publishing

    /// Makes the folder that is loaded from.
    private func publish(_ files: [RemoteFile], commit: String) throws(LLMError) -> String {
        let snapshot = settings.cache.snapshot(commit, of: model)
        try CacheFolder.make(snapshot)
        for file in files {
            let path = "\(snapshot)/\(file.path)"
            let depth = file.path.split(separator: "/").count
            if depth > 1 {
                let above = String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
                guard !CacheFolder.isLink(above) else {
                    throw LLMError(.inputOutput, "\(above) is in the way: it is a link")
                }
                try CacheFolder.make(above)
            }
            let target = String(repeating: "../", count: depth + 1) + "blobs/\(file.id.hex)"
            // A cache that has it all may be one that can't be written to.
            if CacheFolder.target(of: path) != target { try CacheFolder.link(path, to: target) }
        }
        if revision != commit {
            let reference = settings.cache.reference(revision, of: model)
            try CacheFolder.make(String(reference[..<(reference.lastIndex(of: "/") ?? reference.endIndex)]))
            if (try? Platform.readFile(reference, limit: 4096)) != Array(commit.utf8) {
                try CacheFolder.replace(reference, with: commit)
            }
        }
        return snapshot
    }
}
#endif

// TestHub: a server on this machine that plays the hub: its list of files, its redirects to another host where the large
// files are, parts of files. A test lets it misbehave, request by request.
// Plain sockets, one thread for each connection: so that it can break off, fall silent and lie at any byte.
// Invariant: every request is in `requests`, in the order of arrival.

#if Server
import Crypto
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

final class TestHub: Sendable {
    struct Request: Sendable {
        var method: String
        /// The path with its query, as it was sent.
        var target: String
        /// Names are in lower case.
        var headers: [String: String]

        var path: String { String(target.prefix { $0 != "?" }) }
        /// The first byte that is asked for, where a part is.
        var rangeStart: Int? {
            headers["range"].flatMap { Int($0.dropFirst("bytes=".count).prefix { $0 != "-" }) }
        }
        /// Which of the two hosts that this server is was asked.
        var host: String { String((headers["host"] ?? "").prefix { $0 != ":" }) }
    }

    struct Reply: Sendable {
        var status = 200
        var headers: [(String, String)] = []
        var body: [UInt8] = []
        /// What Content-Length says, if not the truth; negative: it is not sent, and the body ends with the connection.
        var announcedLength: Int?
        /// After so many bytes of the body the connection breaks.
        var cutAfter: Int?
        /// After so many bytes of the body nothing more comes until `release()`.
        var stallAfter: Int?
    }

    struct Model: Sendable {
        var commit: String
        var files: [String: [UInt8]]
        /// Files that are stored as Git LFS does: elsewhere, and by SHA-256.
        var large: Set<String>
        var branches: Set<String> = ["main"]
        /// Whether the list has sizes and checksums.
        var listsDetails = true
    }

    private struct State {
        var requests: [Request] = []
        var models: [String: Model] = [:]
        var behaviour: (@Sendable (Request, Int) -> Reply?)?
        var connections: Set<Int32> = []
        var isReleased = false
        var isStopped = false
    }
    private let state = Mutex(State())
    private let listener: Int32
    let port: Int

    /// The hub.
    var address: String { "http://127.0.0.1:\(port)" }
    /// The other host.
    var otherAddress: String { "http://localhost:\(port)" }

    init() throws {
        #if canImport(Glibc)
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        listener = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, size) == 0 && listen(descriptor, 64) == 0
                    && getsockname(descriptor, address, &size) == 0
            }
        }
        guard status else { throw Failure() }
        port = Int(UInt16(bigEndian: address.sin_port))
        Self.detach { [weak self] in
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0, let hub = self else {
                    if connection >= 0 { close(connection) }
                    return
                }
                hub.serve(connection)
            }
        }
    }

    struct Failure: Error {}

    deinit {
        let connections = state.withLock { state in
            state.isStopped = true
            return state.connections
        }
        for connection in connections { shutdown(connection, Int32(SHUT_RDWR)) }
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    // MARK: What a test sees and says

    var requests: [Request] { state.withLock { $0.requests } }

    /// Requests for a file's contents that the hub or the other host answered or should have.
    func downloads(of file: String) -> [Request] {
        requests.filter { $0.method == "GET" && $0.path.hasSuffix("/" + file) && $0.host == "127.0.0.1" }
    }

    /// Lets go of all bodies that are held back, now and later.
    func release() { state.withLock { $0.isReleased = true } }

    func forget() { state.withLock { $0.requests = [] } }

    func add(_ name: String, _ model: Model) { state.withLock { $0.models[name] = model } }

    /// Asks `body` first from here on; it is given the request and how many of the same method and path came before.
    func behave(_ body: @escaping @Sendable (Request, Int) -> Reply?) { state.withLock { $0.behaviour = body } }

    // MARK: Connections

    private static func detach(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, Unmanaged.passRetained(Box(body)).toOpaque())
        pthread_detach(thread)
    }

    private func serve(_ connection: Int32) {
        let isOpen = state.withLock { state in
            if !state.isStopped { state.connections.insert(connection) }
            return !state.isStopped
        }
        guard isOpen else {
            close(connection)
            return
        }
        Self.detach { [weak self] in
            if let request = Self.read(connection), let reply = self?.reply(to: request) {
                Self.write(reply, to: connection, isHead: request.method == "HEAD") {
                    self?.state.withLock { $0.isReleased } ?? true
                }
            }
            self?.state.withLock { _ = $0.connections.remove(connection) }
            close(connection)
        }
    }

    private static func read(_ connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 65_536 {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            bytes += buffer[..<count]
            let text = String(decoding: bytes, as: UTF8.self)
            guard text.contains("\r\n\r\n") else { continue }
            let lines = text.split(separator: "\r\n", omittingEmptySubsequences: true)
            let words = lines[0].split(separator: " ")
            guard words.count == 3 else { return nil }
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2 {
                    headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
                }
            }
            return Request(method: String(words[0]), target: String(words[1]), headers: headers)
        }
        return nil
    }

    private static func send(_ bytes: ArraySlice<UInt8>, to connection: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { systemSend(connection, $0) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private static func write(_ reply: Reply, to connection: Int32, isHead: Bool, isReleased: () -> Bool) {
        var head = "HTTP/1.1 \(reply.status) Reply\r\nConnection: close\r\n"
        for (name, value) in reply.headers { head += "\(name): \(value)\r\n" }
        let length = reply.announcedLength ?? reply.body.count
        if length >= 0 { head += "Content-Length: \(length)\r\n" }
        guard send(Array((head + "\r\n").utf8)[...], to: connection), !isHead else { return }
        let end = min(reply.body.count, reply.cutAfter ?? .max)
        let pause = min(end, reply.stallAfter ?? end)
        guard send(reply.body[..<pause], to: connection) else { return }
        if reply.stallAfter != nil {
            // Until the test lets go, or the other side or the server's end closes the connection.
            var byte: UInt8 = 0
            while !isReleased() {
                if recv(connection, &byte, 1, Int32(MSG_DONTWAIT)) == 0 { return }
                usleep(2000)
            }
        }
        _ = send(reply.body[pause..<end], to: connection)
    }

    // MARK: The hub

    private func reply(to request: Request) -> Reply {
        let (behaviour, models, count) = state.withLock { state in
            let count = state.requests.count {
                $0.method == request.method && $0.path == request.path && $0.host == request.host
            }
            state.requests.append(request)
            return (state.behaviour, state.models, count)
        }
        if let reply = behaviour?(request, count) { return reply }
        return Self.honest(request, models, otherAddress: otherAddress)
    }

    /// What the hub itself answers.
    static func honest(_ request: Request, _ models: [String: Model], otherAddress: String) -> Reply {
        let parts = request.path.split(separator: "/").map { String($0.replacing("%2F", with: "/")) }
        if parts.count >= 4, parts[0] == "api", parts[1] == "models" {
            guard let model = models["\(parts[2])/\(parts[3])"] else { return refusal(404, "RepoNotFound") }
            return list(model, parts, request)
        }
        if parts.count == 3, parts[0] == "cdn", let model = models.values.first(where: { $0.file(parts[1]) != nil }) {
            return Self.contents(model.file(parts[1])!, etag: "\"cdn-\(parts[1])\"", request, [])
        }
        if parts.count >= 5, parts[2] == "resolve" {
            guard let model = models["\(parts[0])/\(parts[1])"] else { return refusal(404, "RepoNotFound") }
            guard parts[3] == model.commit || model.branches.contains(parts[3]) else {
                return refusal(404, "RevisionNotFound")
            }
            let file = parts[4...].joined(separator: "/")
            guard let bytes = model.files[file] else { return refusal(404, "EntryNotFound") }
            let commit = ("X-Repo-Commit", model.commit)
            guard model.large.contains(file) else {
                return contents(bytes, etag: "\"\(gitHash(bytes))\"", request, [commit])
            }
            let hash = sha256(bytes)
            return Reply(
                status: 302,
                headers: [
                    commit, ("X-Linked-Etag", "\"\(hash)\""), ("X-Linked-Size", "\(bytes.count)"),
                    ("ETag", "\"\(hash)\""), ("Location", "\(otherAddress)/cdn/\(hash)/\(file)?signature=abc"),
                ], body: Array("Found. Redirecting".utf8))
        }
        return refusal(404, "EntryNotFound")
    }

    static func refusal(_ status: Int, _ code: String, _ message: String = "No") -> Reply {
        Reply(
            status: status, headers: [("X-Error-Code", code), ("X-Error-Message", message)],
            body: Array("{\"error\":\"\(message)\"}".utf8))
    }

    private static func list(_ model: Model, _ parts: [String], _ request: Request) -> Reply {
        let revision = parts.count > 5 ? parts[5] : "main"
        guard revision == model.commit || model.branches.contains(revision) else {
            return refusal(404, "RevisionNotFound")
        }
        let isTree = parts.count > 4 && parts[4] == "tree"
        let entries = model.files.keys.sorted().map { file in
            let bytes = model.files[file]!
            let hash = gitHash(bytes)
            var text =
                isTree ? "{\"type\":\"file\",\"path\":\"\(escaped(file))\"" : "{\"rfilename\":\"\(escaped(file))\""
            if isTree || (model.listsDetails && request.target.contains("blobs=")) {
                text += ",\"size\":\(bytes.count),\"\(isTree ? "oid" : "blobId")\":\"\(hash)\""
                if model.large.contains(file) {
                    text +=
                        ",\"lfs\":{\"\(isTree ? "oid" : "sha256")\":\"\(sha256(bytes))\",\"size\":\(bytes.count),"
                        + "\"pointerSize\":134}"
                }
            }
            return text + "}"
        }.joined(separator: ",")
        let body =
            isTree
            ? "[\(entries)]"
            : "{\"id\":\"\(parts[2])/\(parts[3])\",\"modelId\":\"\(parts[2])/\(parts[3])\",\"sha\":\"\(model.commit)\","
                + "\"private\":false,\"tags\":[],\"downloads\":0,\"siblings\":[\(entries)]}"
        return Reply(headers: [("Content-Type", "application/json")], body: Array(body.utf8))
    }

    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            switch scalar {
            case "\"", "\\": "\\\(scalar)"
            case _ where scalar.value < 0x20:
                "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }.joined()
    }

    /// A file, or the part of it that is asked for.
    static func contents(_ bytes: [UInt8], etag: String, _ request: Request, _ headers: [(String, String)]) -> Reply {
        var reply = Reply(headers: headers + [("ETag", etag), ("Accept-Ranges", "bytes")], body: bytes)
        guard let start = request.rangeStart else { return reply }
        if let condition = request.headers["if-range"], condition != etag { return reply }
        guard start < bytes.count else {
            return Reply(status: 416, headers: [("Content-Range", "bytes */\(bytes.count)")])
        }
        reply.status = 206
        reply.headers.append(("Content-Range", "bytes \(start)-\(bytes.count - 1)/\(bytes.count)"))
        reply.body = Array(bytes[start...])
        return reply
    }

    // MARK: Checksums

    private static func hex(_ digest: some Sequence<UInt8>) -> String {
        digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func sha256(_ bytes: [UInt8]) -> String { hex(SHA256.hash(data: bytes)) }

    static func gitHash(_ bytes: [UInt8]) -> String {
        hex(Insecure.SHA1.hash(data: Array("blob \(bytes.count)\0".utf8) + bytes))
    }
}

// The C function whose name the class's own member hides. A reader that went away must not end the tests.
private func systemSend(_ connection: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    #if canImport(Glibc)
    send(connection, bytes.baseAddress!, bytes.count, Int32(MSG_NOSIGNAL))
    #elseif canImport(Musl)
    send(connection, bytes.baseAddress!, bytes.count, MSG_NOSIGNAL)
    #else
    send(connection, bytes.baseAddress!, bytes.count, 0)
    #endif
}

extension TestHub.Model {
    /// The contents of a large file by its SHA-256.
    func file(_ hash: String) -> [UInt8]? {
        large.lazy.compactMap { files[$0] }.first { TestHub.sha256($0) == hash }
    }
}
#endif

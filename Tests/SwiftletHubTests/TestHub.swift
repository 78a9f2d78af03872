// TestHub: a server on this machine that plays the hub: its list of files, its redirects to another host where the large
// files are, parts of files. A test lets it misbehave, request by request.
// Invariant: every request is in `requests`, in the order of arrival.

#if Server
import Crypto
import SwiftletTestSupport
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
        var isReleased = false
    }
    private let shared: Shared
    private let server: SocketServer

    /// What the connections' threads share with the hub.
    private final class Shared: Sendable {
        let state = Mutex(State())
    }

    var port: Int { server.port }

    /// The hub.
    var address: String { "http://127.0.0.1:\(port)" }
    /// The other host.
    var otherAddress: String { "http://localhost:\(port)" }

    init() throws {
        let shared = Shared()
        self.shared = shared
        server = try SocketServer { connection in Self.serve(connection, shared) }
    }

    // MARK: What a test sees and says

    var requests: [Request] { shared.state.withLock { $0.requests } }

    /// Requests for a file's contents that the hub or the other host answered or should have.
    func downloads(of file: String) -> [Request] {
        requests.filter { $0.method == "GET" && $0.path.hasSuffix("/" + file) && $0.host == "127.0.0.1" }
    }

    /// Lets go of all bodies that are held back, now and later.
    func release() { shared.state.withLock { $0.isReleased = true } }

    func forget() { shared.state.withLock { $0.requests = [] } }

    func add(_ name: String, _ model: Model) { shared.state.withLock { $0.models[name] = model } }

    /// Asks `body` first from here on; it is given the request and how many of the same method and path came before.
    func behave(_ body: @escaping @Sendable (Request, Int) -> Reply?) { shared.state.withLock { $0.behaviour = body } }

    // MARK: Connections

    private static func serve(_ connection: SocketServer.Connection, _ shared: Shared) {
        guard let request = read(connection) else { return }
        write(reply(to: request, shared), to: connection, isHead: request.method == "HEAD") {
            shared.state.withLock { $0.isReleased }
        }
    }

    private static func read(_ connection: SocketServer.Connection) -> Request? {
        func isHead(_ bytes: [UInt8]) -> Bool { String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n") }
        guard let bytes = connection.receive(until: isHead) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: true)
        let words = lines[0].split(separator: " ")
        guard words.count == 3 else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " }) }
        }
        return Request(method: String(words[0]), target: String(words[1]), headers: headers)
    }

    private static func write(
        _ reply: Reply, to connection: SocketServer.Connection, isHead: Bool, isReleased: () -> Bool
    ) {
        var head = "HTTP/1.1 \(reply.status) Reply\r\nConnection: close\r\n"
        for (name, value) in reply.headers { head += "\(name): \(value)\r\n" }
        let length = reply.announcedLength ?? reply.body.count
        if length >= 0 { head += "Content-Length: \(length)\r\n" }
        guard connection.send(head + "\r\n"), !isHead else { return }
        let end = min(reply.body.count, reply.cutAfter ?? .max)
        let pause = min(end, reply.stallAfter ?? end)
        guard connection.send(reply.body[..<pause]) else { return }
        if reply.stallAfter != nil {
            // Until the test lets go, or the other side or the server's end closes the connection.
            while !isReleased() {
                if connection.isClosed { return }
                usleep(2000)
            }
        }
        connection.send(reply.body[pause..<end])
    }

    // MARK: The hub

    private static func reply(to request: Request, _ shared: Shared) -> Reply {
        let (behaviour, models, count) = shared.state.withLock { state in
            let count = state.requests.count {
                $0.method == request.method && $0.path == request.path && $0.host == request.host
            }
            state.requests.append(request)
            return (state.behaviour, state.models, count)
        }
        if let reply = behaviour?(request, count) { return reply }
        let port = (request.headers["host"] ?? "").drop { $0 != ":" }
        return honest(request, models, otherAddress: "http://localhost\(port)")
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

extension TestHub.Model {
    /// The contents of a large file by its SHA-256.
    func file(_ hash: String) -> [UInt8]? {
        large.lazy.compactMap { files[$0] }.first { TestHub.sha256($0) == hash }
    }
}
#endif

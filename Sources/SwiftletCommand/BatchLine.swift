// BatchLine: one line of a file in OpenAI's batch format, and the line that answers it.
// Lines come from anyone: one that is no request is answered with an error and costs itself only.
//
// Invariant: an answer's `id` says which request of the file it answers, and to which hash that line and the options of
// the run come, so that a later run knows what is done.

import SwiftletJSON
package import SwiftletServer

/// `{"custom_id": …, "method": "POST", "url": "/v1/chat/completions", "body": {…}}`.
package struct BatchLine: Sendable {
    package var customID: String
    package var endpoint: GenerationRequest.Endpoint
    /// What the server would be sent.
    package var body: [UInt8]

    /// Why a line is no request.
    package struct Failure: Error, Hashable, Sendable {
        package var customID: String?
        package var message: String
    }

    private static let urls: [String: GenerationRequest.Endpoint] = [
        "/v1/chat/completions": .chat, "/v1/completions": .completions,
    ]

    package init(_ entry: LineReader.Entry) throws(Failure) {
        let place = "line \(entry.number): "
        guard case .text(let bytes) = entry.line else {
            throw Failure(message: "\(place)the line is longer than \(LineReader.defaultLimit >> 20) MiB; split it")
        }
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes).root
        } catch {
            throw Failure(message: "\(place)bad JSON: \(error.message) at byte \(error.offset + 1)")
        }
        guard root.kind == .object else {
            throw Failure(
                message: #"\#(place)a request is an object, {"custom_id": …, "method": …, "url": …, "body": …}"#)
        }
        let customID = root["custom_id"]?.string
        func fault(_ key: String, _ expected: String) -> Failure {
            let found = root[key].map { "is \($0.string.map { "\"\($0.prefix(100))\"" } ?? $0.description)" }
            return Failure(
                customID: customID, message: "\(place)\(key) \(found ?? "is missing"); it must be \(expected)")
        }
        guard let customID else { throw fault("custom_id", "a string") }
        guard root["method"]?.string == "POST" else { throw fault("method", "\"POST\"") }
        guard let endpoint = root["url"]?.string.flatMap({ Self.urls[$0] }) else {
            throw fault("url", Self.urls.keys.sorted().joined(separator: " or "))
        }
        guard let body = root["body"], body.kind == .object else { throw fault("body", "an object") }
        self.customID = customID
        self.endpoint = endpoint
        self.body = Array(body.bytes)
    }

    // MARK: - Answers

    /// The line of a request that the server's code answered, be it with an error.
    package static func line(
        id: ID, customID: String, _ answer: GenerationService.Answer, requestID: String
    ) -> [UInt8] {
        line(id, customID) { json in
            json.key("response")
            json.object { json in
                json.member("status_code", answer.status)
                json.member("request_id", requestID)
                json.key("body")
                json.raw(answer.body)
            }
            json.member("error", nil as String?)
        }
    }

    /// The line of what is no request.
    package static func line(id: ID, _ failure: Failure) -> [UInt8] {
        line(id, failure.customID) { json in
            json.member("response", nil as String?)
            json.key("error")
            json.object { json in
                json.member("code", "invalid_request")
                json.member("message", failure.message)
            }
        }
    }

    private static func line(_ id: ID, _ customID: String?, _ body: (inout JSONWriter) -> Void) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("id", id.text)
            json.member("custom_id", customID)
            body(&json)
        }
        json.newline()
        return json.bytes
    }

    // MARK: - Ids

    /// An answer's `id`: `batch_req_RUN_LINE_NUMBER`, the first two being hashes.
    package struct ID: Hashable, Sendable {
        /// Of the options that decide what is answered.
        package var run: UInt64
        package var mark: ResultMark

        package init(run: UInt64, _ entry: LineReader.Entry) {
            self.run = run
            mark = ResultMark(index: entry.index, fingerprint: Self.fingerprint(of: entry.line))
        }

        package static func fingerprint(of line: LineReader.Line) -> UInt64 {
            guard case .text(let bytes) = line else { return 0 }
            return Fingerprint.of(bytes)
        }

        private static let prefix = "batch_req"

        package var text: String {
            let hashes = [run, mark.fingerprint].map { String($0, radix: 16) }
            return "\(Self.prefix)_\(hashes[0])_\(hashes[1])_\(mark.index + 1)"
        }

        /// Reads the id of an answer's line; nil for a line that is none.
        package init?(of line: [UInt8]) {
            guard let root = try? JSONDocument(parsing: line).root, let text = root["id"]?.string,
                root["custom_id"] != nil, root["response"] != nil, root["error"] != nil,
                text.hasPrefix(Self.prefix + "_")
            else { return nil }
            let parts = text.dropFirst(Self.prefix.count + 1).split(separator: "_", omittingEmptySubsequences: false)
            guard parts.count == 3, let run = UInt64(parts[0], radix: 16), let hash = UInt64(parts[1], radix: 16),
                let number = Int(parts[2]), number > 0
            else { return nil }
            self.run = run
            mark = ResultMark(index: number - 1, fingerprint: hash)
        }
    }
}

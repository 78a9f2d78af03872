#if Server
// WebPage: the chat page at "/" and the files it consists of at "/page/…", out of the binary. It is a client of the API
// like any other: it knows nothing that /v1 does not tell it.
//
// Invariant: the policy allows the page's own files and nothing else, no script or style within the HTML, so text of a
// model that got into the page as HTML would still not run.

import CSwiftletWebPage
import HTTPTypes
package import Hummingbird
package import NIOCore

/// The files of the chat page, ready to be sent.
package struct WebPage: Sendable {
    /// A file as it is served.
    package struct File: Sendable {
        /// The path on the server.
        package var path: String
        package var contentType: String
        package var entityTag: String
        package var body: ByteBuffer
    }

    package static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

    package let files: [File]

    package init() {
        var count = 0
        let table = UnsafeBufferPointer(start: swiftlet_page_files(&count), count: count)
        files = table.map { file in
            let name = String(cString: file.name)
            let bytes = UnsafeBufferPointer(start: file.bytes, count: file.size)
            return File(
                path: name == "index.html" ? "/" : "/page/" + name, contentType: Self.contentType(of: name),
                entityTag: Self.entityTag(of: bytes), body: ByteBuffer(bytes: bytes))
        }
    }

    /// Adds a route for each file.
    package func add<Context: RequestContext>(to router: some RouterMethods<Context>) {
        for file in files {
            router.on(RouterPath(file.path), method: .get) { request, _ in Self.response(file, request) }
        }
    }

    private static func response(_ file: File, _ request: Request) -> Response {
        var headers: HTTPFields = [
            .eTag: file.entityTag, .cacheControl: "no-cache", .contentSecurityPolicy: policy,
            .xContentTypeOptions: "nosniff",
        ]
        if let name = HTTPField.Name("Referrer-Policy") { headers[name] = "no-referrer" }
        if isKnown(file.entityTag, request.headers[values: .ifNoneMatch]) {
            return Response(status: .notModified, headers: headers)
        }
        headers[.contentType] = file.contentType
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: file.body))
    }

    /// Whether one of the tags that the client has is the file's; weak ones are as good.
    private static func isKnown(_ tag: String, _ known: [String]) -> Bool {
        known.contains { value in
            value.split(separator: ",").contains { part in
                var part = part.drop { $0 == " " }
                if part.hasPrefix("W/") { part = part.dropFirst(2) }
                while part.last == " " { part = part.dropLast() }
                return part == tag || part == "*"
            }
        }
    }

    private static func contentType(of name: String) -> String {
        if name.hasSuffix(".html") { return "text/html; charset=utf-8" }
        if name.hasSuffix(".js") { return "text/javascript; charset=utf-8" }
        if name.hasSuffix(".css") { return "text/css; charset=utf-8" }
        precondition(name.hasSuffix(".svg"), "\(name) has no content type")
        return "image/svg+xml"
    }

    /// Another version of a file has another tag.
    private static func entityTag(of bytes: UnsafeBufferPointer<UInt8>) -> String {
        "\"\(String(Fingerprint.of(bytes), radix: 16))\""
    }
}
#endif

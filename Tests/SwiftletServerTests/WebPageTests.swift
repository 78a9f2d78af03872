#if Server
// The chat page's files, as they are in the binary. What they do is tested in a browser, by Tools/server/test_page.py.

import NIOCore
import NIOHTTP1
import SwiftletServer
import SwiftletTestSupport
import Testing

@Suite("Web page", .serialized)
struct WebPageTests {
    private let files = WebPage().files

    private func text(_ path: String) -> String {
        files.first { $0.path == path }.map { String(buffer: $0.body) } ?? ""
    }

    @Test("Every file of the page is in the binary as it is on disk")
    func embedded() throws {
        let folder = TestFiles.package + "/Sources/CSwiftletWebPage/page/"
        #expect(files.count == 11 && Set(files.map(\.path)).count == 11)
        for file in files {
            let name = file.path == "/" ? "index.html" : String(file.path.dropFirst("/page/".count))
            #expect(try Array(file.body.readableBytesView) == #require(readFile(folder + name)), "\(name)")
            #expect(file.entityTag.hasPrefix("\"") && file.entityTag.utf8.count > 10)
        }
        #expect(Set(files.map(\.entityTag)).count == 11)
        #expect(files.reduce(0) { $0 + $1.body.readableBytes } < 100_000)
    }

    @Test("What a file asks for is there, and nothing is asked for elsewhere")
    func references() throws {
        let page = text("/")
        #expect(page.hasPrefix("<!doctype html>"))
        for match in page.matches(of: #/(?:src|href)="([^"#]+)"/#) {
            #expect(files.contains { $0.path == "/" + match.1 }, "\(match.1)")
        }
        for file in files where file.path.hasSuffix(".js") {
            for match in text(file.path).matches(of: #/from "\.\/([^"]+)"/#) {
                #expect(files.contains { $0.path == "/page/" + match.1 }, "\(match.1)")
            }
            for danger in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"] {
                #expect(!text(file.path).contains(danger), "\(file.path) has \(danger)")
            }
        }
        // The policy lets neither run.
        #expect(!page.contains("<style") && !page.contains(" style=") && !page.contains(#/<script(?![^>]* src=)/#))
        #expect(!page.contains(#/ on[a-z]+=/#))
    }

    @Test("The server sends the page without a key, with its policy, and not twice")
    func routes() async throws {
        var configuration = OpenAIServerConfiguration()
        configuration.apiKeys = ["secret"]
        try await TestServer.run(configuration) { server in
            for file in files {
                let reply = try await server.get(file.path)
                #expect(reply.status == 200 && reply.bytes == Array(file.body.readableBytesView), "\(file.path)")
                for (name, value) in [
                    ("content-type", file.contentType), ("content-security-policy", WebPage.policy),
                    ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"),
                    ("cache-control", "no-cache"), ("etag", file.entityTag),
                ] {
                    #expect(reply.headers.first(name: name) == value, "\(file.path) \(name)")
                }
                for known in [file.entityTag, "W/\(file.entityTag)", "\"x\", \(file.entityTag)", "*"] {
                    let again = try await server.get(file.path, headers: ["if-none-match": known])
                    #expect(again.status == 304 && again.bytes.isEmpty, "\(file.path) \(known)")
                }
                #expect(try await server.get(file.path, headers: ["if-none-match": "\"x\""]).status == 200)
            }
            let key = ["authorization": "Bearer \(configuration.apiKeys[0])"]
            for path in ["/page/../Package.swift", "/page/none.js"] {
                #expect(try await server.get(path, headers: key).status == 404)
                #expect(try await server.get(path).status == 401)
            }
            #expect(try await server.get("/v1/models").status == 401)
        }
    }
}
#endif

// The token stays with the hub, names stay in the cache, and nothing that could be a program is taken.

#if Server
import Swiftlet
import SwiftletHub
import SwiftletTestSupport
import Testing

@Suite("Pull: hostile hubs")
struct PullSafetyTests {
    @Test("The token goes to the hub and to nobody else")
    func token() async throws {
        let bench = try PullBench()
        try await bench.pull()
        let (hub, other) = (
            bench.hub.requests.filter { $0.host == "127.0.0.1" }, bench.hub.requests.filter { $0.host == "localhost" }
        )
        #expect(hub.count == 8 && other.count == 1)
        #expect(hub.allSatisfy { $0.headers["authorization"] == "Bearer hf_secret" })
        #expect(other.allSatisfy { $0.headers["authorization"] == nil })
    }

    @Test("Another port is another host")
    func otherPort() async throws {
        let bench = try PullBench()
        let other = try TestHub()
        other.add(TestModels.name, TestModels.usual())
        let address = other.address
        bench.hub.behave { request, _ in
            TestHub.Reply(status: 302, headers: [("Location", address + request.target)])
        }
        try await bench.pull()
        bench.expectWhole(TestModels.usual())
        #expect(bench.hub.requests.allSatisfy { $0.headers["authorization"] != nil })
        #expect(!other.requests.isEmpty && other.requests.allSatisfy { $0.headers["authorization"] == nil })
    }

    @Test("A model with a new name is found by the old one, with the token")
    func renamed() async throws {
        let bench = try PullBench()
        bench.hub.add("new-owner/new-name", TestModels.usual())
        bench.hub.behave { request, _ in
            guard request.target.contains(TestModels.name) else { return nil }
            let target = request.target.replacing(TestModels.name, with: "new-owner/new-name")
            return TestHub.Reply(status: 307, headers: [("Location", target)], body: Array("moved".utf8))
        }
        try await bench.pull()
        bench.expectWhole(TestModels.usual())
        #expect(bench.hub.requests.allSatisfy { ($0.headers["authorization"] != nil) == ($0.host == "127.0.0.1") })
    }

    @Test(
        "Addresses that nobody should follow",
        arguments: [
            "ftp://127.0.0.1/x", "file:///etc/passwd", "http://user:word@127.0.0.1/", "http://", "//",
            "http:\\\\127.0.0.1\\x",
            "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "javascript:alert(1)", "http://127.0.0.1 .evil/", "",
        ])
    func badRedirect(location: String) async throws {
        let bench = try PullBench()
        bench.hub.behave { _, _ in TestHub.Reply(status: 302, headers: [("Location", location)]) }
        let message = await bench.failure()
        #expect(message.contains("can't be followed") || message.contains("leads on and on"), "\(message)")
    }

    @Test("Redirects end")
    func loop() async throws {
        let bench = try PullBench()
        bench.hub.behave { request, _ in
            TestHub.Reply(status: 302, headers: [("Location", request.target + "x")], body: Array("go on".utf8))
        }
        #expect(await bench.failure().contains("leads on and on, more than 10 times"))
        #expect(bench.hub.requests.count == 11)
    }

    @Test("From an encrypted address only to encrypted ones, and hosts are compared as a whole")
    func addresses() throws {
        let hub = try #require(HubURL("https://huggingface.co"))
        #expect(!hub.mayLead(to: try #require(HubURL("http://huggingface.co/x"))))
        #expect(hub.mayLead(to: try #require(HubURL("https://cdn.example/x"))))
        #expect(try #require(HubURL("http://127.0.0.1:80")).mayLead(to: hub))
        #expect(hub.origin == HubURL("https://HuggingFace.co:443/api")?.origin)
        for other in [
            "http://huggingface.co", "https://huggingface.co:8443", "https://huggingface.co.evil.org",
            "https://evil.org/huggingface.co",
        ] {
            #expect(HubURL(other)?.origin != hub.origin)
        }
        for text in [
            "https://huggingface.co@evil.org", "https://a:b@c", "huggingface.co", "https://", "https://a b",
            "http://[::1", "ftp://a",
        ] {
            #expect(HubURL(text) == nil, "\(text)")
        }
        #expect(hub.redirected(to: "/a/b?c=d")?.text == "https://huggingface.co/a/b?c=d")
        #expect(hub.redirected(to: "//evil.org/x")?.origin.self == HubURL("https://evil.org")?.origin)
        #expect(HubURL.encoded("refs/pr/1 é%") == "refs%2Fpr%2F1%20%C3%A9%25")
    }

    @Test("Names that lead elsewhere are not taken")
    func names() async throws {
        var model = TestModels.usual()
        let bad = [
            "../config.json", "../../../../evil.json", "/etc/passwd", "..\\config.json", "C:\\config.json",
            "a/../config.json",
            "additional_chat_templates/../../x.jinja", "additional_chat_templates/..",
            "additional_chat_templates/a\u{1}.jinja",
            "additional_chat_templates/a\\b.jinja", "additional_chat_templates//b.jinja", "/config.json",
            "./config.json",
            "additional_chat_templates/" + String(repeating: "x", count: 300) + ".jinja", ".tiktoken",
            "config.json\u{0}", "",
        ]
        for name in bad { model.files[name] = Array("evil".utf8) }
        let bench = try PullBench(model)
        try await bench.pull()
        #expect(Platform.listDirectory(bench.snapshot) == TestModels.wanted)
        #expect(Platform.listDirectory(bench.snapshot + "/additional_chat_templates") == ["tool_use.jinja"])
        #expect(readFile(bench.snapshot + "/config.json") == TestModels.config)
        #expect(bench.folder.names == ["hub"])
        #expect(Platform.listDirectory(bench.settings.cache.path) == [".locks", "models--acme--tiny-model"])
    }

    @Test(
        "An index can't name files elsewhere, nor others than safetensors",
        arguments: [
            "../../x.safetensors", "/tmp/x.safetensors", "a\\b.safetensors", ".x.safetensors", "pytorch_model.bin",
        ])
    func index(name: String) async throws {
        var model = TestModels.usual()
        model.files["model.safetensors"] = nil
        let escaped = name.replacing("\\", with: "\\\\")
        model.files["model.safetensors.index.json"] = Array("{\"weight_map\": {\"a\": \"\(escaped)\"}}".utf8)
        model.files[name] = TestModels.bytes(100)
        let bench = try PullBench(model)
        let message = await bench.failure()
        #expect(
            message.contains("which is not a file name") || message.contains("which is no safetensors file"),
            "\(message)")
        bench.expectNothing()
    }

    @Test("An index that names a missing file")
    func missingShard() async throws {
        var model = TestModels.usual()
        model.files["model.safetensors"] = nil
        model.files["model.safetensors.index.json"] = Array("{\"weight_map\": {\"a\": \"b.safetensors\"}}".utf8)
        let bench = try PullBench(model)
        #expect(await bench.failure().contains("names b.safetensors, which is not there"))
    }

    @Test("Pickles, GGUF and other weights are refused before anything is written")
    func otherWeights() async throws {
        for (file, words) in [
            ("pytorch_model.bin", "pickles (pytorch_model.bin)"), ("model-q4.gguf", "GGUF (model-q4.gguf)"),
            ("adapter_model.safetensors", "adapter"), ("flax.msgpack", "no weights"),
        ] {
            var model = TestModels.usual()
            model.files["model.safetensors"] = nil
            model.files["pytorch_model.bin"] = nil
            model.files["onnx/model.onnx"] = nil
            model.files[file] = TestModels.bytes(10)
            let bench = try PullBench(model)
            let message = await bench.failure()
            #expect(message.contains(words), "\(message)")
            #expect(bench.folder.names == [])
        }
    }

    @Test("A model that can't be run is refused before its weights come")
    func unsupported() async throws {
        var model = TestModels.usual()
        model.files["config.json"] = Array(
            "{\"architectures\": [\"T5ForConditionalGeneration\"], \"model_type\": \"t5\"}".utf8)
        let bench = try PullBench(model)
        let message = await bench.failure()
        #expect(message.contains("acme/tiny-model can't be used: config.json"), "\(message)")
        #expect(bench.hub.downloads(of: "model.safetensors").isEmpty)
        bench.expectNothing()
    }

    @Test("Links in the way are not followed")
    func links() async throws {
        let bench = try PullBench()
        let hash = TestHub.sha256(TestModels.usual().files["model.safetensors"]!)
        try bench.write([1], to: bench.folder.path + "/precious")
        try bench.write([], to: bench.modelFolder + "/blobs/x")
        _ = Shell.run("ln -s '\(bench.folder.path)/precious' '\(bench.modelFolder)/blobs/\(hash).incomplete'")
        let message = await bench.failure()
        #expect(message.contains(".incomplete can't be written"), "\(message)")
        #expect(readFile(bench.folder.path + "/precious") == [1])

        let second = try PullBench()
        try second.write([], to: second.folder.path + "/elsewhere/x")
        try second.write([], to: second.snapshot + "/x")
        _ = Shell.run("ln -s '\(second.folder.path)/elsewhere' '\(second.snapshot)/additional_chat_templates'")
        #expect(await second.failure().contains("additional_chat_templates is in the way: it is a link"))
        #expect(Platform.listDirectory(second.folder.path + "/elsewhere") == ["x"])
        #expect(second.reference == nil)
    }

    @Test("The hub gives another commit or file than it listed")
    func swapped() async throws {
        let bench = try PullBench()
        let other = String(repeating: "f", count: 40)
        bench.hub.behave { request, _ in
            guard request.path.hasSuffix("/config.json") else { return nil }
            return TestHub.Reply(headers: [("X-Repo-Commit", other)], body: TestModels.config)
        }
        #expect(await bench.failure().contains("config.json of another commit"))
        bench.hub.behave { request, _ in
            guard request.path.hasSuffix("/config.json") else { return nil }
            return TestHub.Reply(headers: [("X-Linked-Etag", "\"\(other)\"")], body: TestModels.config)
        }
        #expect(await bench.failure().contains("another config.json than it listed"))
        bench.expectNothing()
    }

    @Test(
        "Lists of files that make no sense",
        arguments: [
            "[]", "{}", "{\"sha\": \"main\", \"siblings\": []}",
            "{\"sha\": \"../../../../../../../../../../../../x\", \"siblings\": []}",
            "{\"sha\": \"SHA\"}", "{\"sha\": \"SHA\", \"siblings\": [{}]}", "{\"sha\": \"SHA\", \"siblings\": {}}",
            "{\"sha\": \"SHA\", \"siblings\": [{\"rfilename\": \"config.json\", \"size\": -1, \"blobId\": \"SHA\"}]}",
            "{\"sha\": \"SHA\", \"siblings\": [{\"rfilename\": \"config.json\", \"size\": 9e18, \"blobId\": \"SHA\"}]}",
        ])
    func listing(text: String) {
        let bytes = Array(text.replacing("SHA", with: TestModels.commit).utf8)
        #expect(throws: LLMError.self) { try HubListing(bytes, maxFiles: 100) }
    }

    @Test("Changed lists of files never crash, and what they name stays in the cache")
    func fuzz() {
        let seed = Array(
            """
            {"sha": "\(TestModels.commit)", "siblings": [{"rfilename": "config.json", "size": 5, "blobId": "\(TestModels.commit)"},
            {"rfilename": "model.safetensors", "lfs": {"sha256": "\(String(repeating: "a", count: 64))", "size": 7}},
            {"rfilename": "additional_chat_templates/a.jinja"}]}
            """.utf8)
        var random = SeededGenerator(seed: 5)
        for _ in 0..<3000 {
            guard let listing = try? HubListing(mutated(seed, using: &random), maxFiles: 10) else { continue }
            _ = try? listing.weights(of: HubModelID("a/b")!)
            for entry in listing.smallFiles {
                #expect(!entry.path.contains("..") && !entry.path.hasPrefix("/") && !entry.path.contains("\\"))
            }
        }
    }

    @Test("Checksums are hexadecimal or none")
    func checksums() {
        let sha = String(repeating: "a", count: 64)
        #expect(BlobID("\"\(sha)\"") == .sha256(sha))
        #expect(BlobID("W/\"\(TestModels.commit)\"") == .git(TestModels.commit))
        for text in [
            "", "\"\"", "../x", String(repeating: "A", count: 40), sha + "0", "\"" + sha,
            String(repeating: "/", count: 40),
        ] {
            #expect(BlobID(text) == nil, "\(text)")
        }
    }
}
#endif

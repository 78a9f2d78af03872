// Where things are, by the variables that Hugging Face's own tools read.

#if Server
import Swiftlet
import SwiftletHub
import SwiftletTestSupport
import Testing

@Suite("Hub settings")
struct HubSettingsTests {
    private func settings(_ variables: [String: String]) throws(LLMError) -> HubSettings {
        try HubSettings { variables[$0] }
    }

    @Test("The cache")
    func cache() throws {
        let home = ["HOME": "/home/a"]
        func path(_ added: [String: String]) throws -> String {
            try settings(home.merging(added) { $1 }).cache.path
        }
        #expect(try path([:]) == "/home/a/.cache/huggingface/hub")
        #expect(try path(["XDG_CACHE_HOME": "/x"]) == "/x/huggingface/hub")
        #expect(try path(["XDG_CACHE_HOME": "/x", "HF_HOME": "~/hf/"]) == "/home/a/hf/hub")
        #expect(try path(["HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"]) == "/old")
        #expect(try path(["HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"]) == "/new")
        #expect(try path(["HF_HOME": ""]) == "/home/a/.cache/huggingface/hub")
        #expect(throws: LLMError.self) { try settings([:]) }
    }

    @Test("The token")
    func token() throws {
        let folder = try TemporaryFolder()
        let home = ["HF_HOME": folder.path]
        func token(_ added: [String: String]) throws -> String? { try settings(home.merging(added) { $1 }).token }
        #expect(try token([:]) == nil)
        try folder.write("hf_file\n", "token")
        try folder.write(" hf_other\r\n", "other")
        #expect(try token([:]) == "hf_file")
        #expect(try token(["HF_TOKEN_PATH": folder.path + "/other"]) == "hf_other")
        #expect(try token(["HF_TOKEN": "hf_a\n"]) == "hf_a")
        #expect(try token(["HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "hf_b"]) == "hf_b")
        #expect(try token(["HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"]) == nil)
        for wrong in ["hf_a\r\nx: y", "two words", "hf_\u{1}", "hf_é"] {
            #expect(throws: LLMError.self) { try token(["HF_TOKEN": wrong]) }
        }
    }

    @Test("The endpoint, and being offline")
    func endpoint() throws {
        let home = ["HOME": "/home/a"]
        #expect(try settings(home).endpoint.text == "https://huggingface.co")
        #expect(
            try settings(home.merging(["HF_ENDPOINT": "http://mirror:8080/hf/"]) { $1 }).endpoint
                .appending("/api")?.text == "http://mirror:8080/hf/api")
        for wrong in ["huggingface.co", "ftp://x", "https://x/?a=b", "https://u:p@x", "https://x#y", "x\ny"] {
            #expect(throws: LLMError.self) { try settings(home.merging(["HF_ENDPOINT": wrong]) { $1 }) }
        }
        #expect(try !settings(home.merging(["HF_HUB_OFFLINE": "0"]) { $1 }).isOffline)
        for (name, value) in [("HF_HUB_OFFLINE", "1"), ("HF_HUB_OFFLINE", "true"), ("TRANSFORMERS_OFFLINE", "YES")] {
            #expect(try settings(home.merging([name: value]) { $1 }).isOffline)
        }
    }

    @Test("Names of models")
    func names() {
        for name in ["Qwen/Qwen3-0.6B", "a/b", "A_1/x.y-z_", "01-ai/Yi", "_a/b_"] {
            #expect(HubModelID(name)?.description == name, "\(name)")
        }
        for name in [
            "gpt2", "a/b/c", "/b", "a/", "a//b", "../b", "a/..", "a/.b", "-a/b", "a/b-", "a/b.", "a/b--c", "a/b..c",
            "a/b.git",
            "a/b c", "a/b\\c", "a/b%2F", "é/b", "a/" + String(repeating: "x", count: 97), "a/b\n", "", "./b",
        ] {
            #expect(HubModelID(name) == nil, "\(name)")
        }
    }
}
#endif

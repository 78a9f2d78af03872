// A model comes whole, into the places where other tools look, and only once.

#if Server
import Swiftlet
import SwiftletHub
import SwiftletTestSupport
import Synchronization
import Testing

@Suite("Pull")
struct PullTests {
    @Test("What running takes is linked as other tools link it, and nothing else is downloaded")
    func whole() async throws {
        let bench = try PullBench()
        let model = TestModels.usual()
        let last = Mutex(Hub.Progress())
        let folder = try await bench.pull { progress in last.withLock { $0 = progress } }
        #expect(folder == bench.snapshot)
        bench.expectWhole(model)
        #expect(Platform.listDirectory(folder) == TestModels.wanted)
        #expect(Platform.listDirectory(folder + "/additional_chat_templates") == ["tool_use.jinja"])
        #expect(readFile(folder + "/additional_chat_templates/tool_use.jinja") == Array("{{ tools }}".utf8))
        let hash = TestHub.sha256(model.files["model.safetensors"]!)
        #expect(linkTarget(folder + "/model.safetensors") == "../../blobs/\(hash)")
        let small = TestHub.gitHash(model.files["config.json"]!)
        #expect(linkTarget(folder + "/config.json") == "../../blobs/\(small)")
        let nested = TestHub.gitHash(Array("{{ tools }}".utf8))
        #expect(linkTarget(folder + "/additional_chat_templates/tool_use.jinja") == "../../../blobs/\(nested)")
        let progress = last.withLock { $0 }
        #expect(progress.bytes == progress.totalBytes && progress.files == progress.totalFiles)
        #expect(progress.totalFiles == 7 && progress.transferredBytes == progress.totalBytes)

        bench.hub.forget()
        #expect(try await bench.pull() == folder)
        #expect(bench.hub.requests.map(\.path) == ["/api/models/acme/tiny-model/revision/main"])
    }

    @Test("Without weights")
    func withoutWeights() async throws {
        let bench = try PullBench()
        try await bench.pull(contents: .withoutWeights)
        #expect(bench.hub.downloads(of: "model.safetensors").isEmpty)
        #expect(HubCache.missingFile(in: bench.snapshot, needsWeights: false) == nil)
        #expect(HubCache.missingFile(in: bench.snapshot, needsWeights: true) == "model.safetensors")
        try await bench.pull()
        bench.expectWhole(TestModels.usual())
        #expect(bench.hub.downloads(of: "config.json").count == 1)
    }

    @Test("Shards are those of the index")
    func sharded() async throws {
        var model = TestModels.usual()
        model.files["model.safetensors"] = nil
        let index = """
            {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
             "c": "model-00001-of-00002.safetensors"}}
            """
        model.files["model.safetensors.index.json"] = Array(index.utf8)
        for (number, name) in ["model-00001-of-00002", "model-00002-of-00002", "consolidated"].enumerated() {
            model.files[name + ".safetensors"] = TestModels.bytes(9000, seed: UInt64(number) + 9)
            model.large.insert(name + ".safetensors")
        }
        let bench = try PullBench(model)
        try await bench.pull()
        #expect(bench.hub.downloads(of: "consolidated.safetensors").isEmpty)
        for name in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
            #expect(readFile(bench.snapshot + "/" + name) == model.files[name])
        }
        #expect(HubCache.missingFile(in: bench.snapshot, needsWeights: true) == nil)
    }

    @Test("A branch, a tag with a slash, a commit")
    func revisions() async throws {
        var model = TestModels.usual()
        model.branches.insert("refs/pr/1")
        let bench = try PullBench(model)
        let folder = try await bench.pull(revision: "refs/pr/1")
        #expect(readFile(bench.modelFolder + "/refs/refs/pr/1") == Array(TestModels.commit.utf8))
        #expect(bench.reference == nil)
        bench.hub.forget()
        #expect(try await bench.pull(revision: TestModels.commit) == folder)
        #expect(bench.hub.requests.isEmpty)
        #expect(await bench.failure(revision: "v9") == "acme/tiny-model has no revision v9")
        for name in ["../main", "a b", "-x", "a\\b", "", "x..y", ".hidden", "a//b", "caf\u{E9}"] {
            #expect(await bench.failure(revision: name).contains("no branch, tag or commit"))
        }
    }

    @Test("An empty file, and two names of the same contents")
    func oddFiles() async throws {
        var model = TestModels.usual()
        model.files["merges.txt"] = []
        model.files["special_tokens_map.json"] = model.files["tokenizer_config.json"]
        let bench = try PullBench(model)
        let last = Mutex(Hub.Progress())
        try await bench.pull { progress in last.withLock { $0 = progress } }
        #expect(readFile(bench.snapshot + "/merges.txt") == [])
        #expect(readFile(bench.snapshot + "/special_tokens_map.json") == Array("{\"a\": 1}".utf8))
        let progress = last.withLock { $0 }
        #expect(progress.bytes == progress.totalBytes && progress.files == progress.totalFiles)
    }

    @Test("A hub that lists names only is asked for each file")
    func namesOnly() async throws {
        var model = TestModels.usual()
        model.listsDetails = false
        let bench = try PullBench(model)
        try await bench.pull()
        bench.expectWhole(model)
        let heads = bench.hub.requests.filter { $0.method == "HEAD" }
        #expect(heads.count == 7 && heads.allSatisfy { $0.host == "127.0.0.1" })
    }

    @Test("Pulls of the same model at the same time download each file once")
    func concurrent() async throws {
        let bench = try PullBench()
        bench.breakWeights(times: 99) { $0.stallAfter = 200_000 }
        try await withThrowingTaskGroup { group in
            for _ in 0..<4 { group.addTask { try await bench.pull() } }
            try await wait(for: "four pulls") {
                bench.hub.requests.count { $0.path.hasPrefix("/api/") } >= 4
            }
            bench.hub.release()
            for try await folder in group { #expect(folder == bench.snapshot) }
        }
        bench.expectWhole(TestModels.usual())
        for file in ["model.safetensors", "config.json", "tokenizer.json"] {
            #expect(bench.hub.downloads(of: file).count == 1)
        }
    }

    @Test("A cancelled pull ends with that, and what came is used by the next")
    func cancelled() async throws {
        let bench = try PullBench()
        bench.breakWeights(times: 99) { $0.stallAfter = 200_000 }
        let task = Task { try await bench.pull() }
        try await wait(for: "200,000 bytes") {
            bench.blobs.contains {
                $0.hasSuffix(".incomplete") && size(bench.modelFolder + "/blobs/" + $0) ?? 0 >= 200_000
            }
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        bench.expectNothing()
        bench.hub.forget()
        bench.hub.behave { _, _ in nil }
        try await bench.pull()
        bench.expectWhole(TestModels.usual())
        #expect(bench.hub.downloads(of: "model.safetensors").map(\.rangeStart) == [200_000])
    }

    @Test("Offline, the cache answers and the network is left alone")
    func offline() async throws {
        var bench = try PullBench()
        bench.settings.isOffline = true
        #expect(await bench.failure().contains("HF_HUB_OFFLINE forbids"))
        bench.settings.isOffline = false
        try await bench.pull()
        bench.settings.isOffline = true
        bench.hub.forget()
        #expect(try await bench.pull() == bench.snapshot)
        #expect(bench.hub.requests.isEmpty)
    }

    @Test("A cache that has it all may be read-only")
    func readOnly() async throws {
        let bench = try PullBench()
        try await bench.pull()
        let inode = linkIdentity(bench.snapshot + "/config.json")
        try await bench.pull()
        #expect(linkIdentity(bench.snapshot + "/config.json") == inode)
    }
}
#endif

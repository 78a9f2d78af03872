// Networks break, hubs stumble and disks fill up: a pull goes on where it can, and else leaves no half model.

#if Server
import Swiftlet
import SwiftletHub
import SwiftletTestSupport
import Testing

@Suite("Pull: what goes wrong")
struct PullFailureTests {
    static let model = TestModels.usual()
    static let weights = TestModels.usual().files["model.safetensors"]!

    @Test("A cut connection is taken up where it broke, if the contents are still the same")
    func cut() async throws {
        var bench = try PullBench()
        bench.settings.growth = 1
        bench.breakWeights(times: 2) { $0.cutAfter = 100_000 }
        try await bench.pull()
        bench.expectWhole(Self.model)
        let parts = bench.hub.requests.filter { $0.path.hasPrefix("/cdn/") }
        // What was still in the connection's buffers when it broke is lost.
        let starts = parts.map { $0.rangeStart ?? 0 }
        #expect(starts.count == 3 && starts[0] == 0 && starts[0] < starts[1] && starts[1] < starts[2])
        #expect(parts[1].headers["if-range"]?.hasPrefix("\"cdn-") == true)
    }

    @Test("A silent connection is given up and taken up")
    func stall() async throws {
        var bench = try PullBench()
        bench.settings.idleTimeout = .seconds(2)
        bench.breakWeights { $0.stallAfter = 150_000 }
        try await bench.pull()
        bench.expectWhole(Self.model)
        #expect(bench.resumed(at: [nil, 150_000]))
    }

    @Test("A connection that never gets on is given up in the end, and what came is kept")
    func neverGrows() async throws {
        var bench = try PullBench()
        bench.settings.idleTimeout = .milliseconds(300)
        bench.settings.attempts = 3
        bench.breakWeights(times: 99) { reply in
            reply.stallAfter = reply.status == 200 ? 120_000 : 0
        }
        let message = await bench.failure()
        #expect(message.contains("3 times in a row") && message.contains(" of 300.0 kB are kept"), "\(message)")
        bench.expectNothing()
        bench.hub.behave { _, _ in nil }
        bench.hub.forget()
        bench.settings.idleTimeout = .seconds(10)
        try await bench.pull()
        bench.expectWhole(Self.model)
        #expect(bench.resumed(at: [120_000]))
    }

    @Test("A server that does not know parts, and one whose contents changed, begin anew")
    func noParts() async throws {
        var bench = try PullBench()
        bench.settings.idleTimeout = .seconds(2)
        bench.hub.behave { request, count in
            guard request.path.hasPrefix("/cdn/") else { return nil }
            return TestHub.Reply(
                headers: [("ETag", "\"\(count)\"")], body: Self.weights, stallAfter: count == 0 ? 90_000 : nil)
        }
        try await bench.pull()
        bench.expectWhole(Self.model)
        let parts = bench.hub.requests.filter { $0.path.hasPrefix("/cdn/") }
        #expect(bench.resumed(at: [nil, 90_000]))
        #expect(parts[1].headers["if-range"] == "\"0\"")
    }

    @Test(
        "A wrong part, and none at all, begin anew", arguments: ["bytes 7-299999/300000", "bytes 90000-1/5", "", "416"])
    func wrongPart(range: String) async throws {
        var bench = try PullBench()
        bench.settings.idleTimeout = .seconds(2)
        bench.hub.behave { request, count in
            guard request.path.hasPrefix("/cdn/"), count < 2 else { return nil }
            if count == 0 { return TestHub.Reply(body: Self.weights, stallAfter: 90_000) }
            if range == "416" { return TestHub.Reply(status: 416) }
            return TestHub.Reply(status: 206, headers: [("Content-Range", range)], body: Self.weights)
        }
        try await bench.pull()
        bench.expectWhole(Self.model)
        #expect(bench.resumed(at: [nil, 90_000, nil]))
    }

    @Test("What an earlier run left is checked: a damaged beginning is fetched again")
    func damagedPart() async throws {
        let bench = try PullBench()
        let path = bench.modelFolder + "/blobs/" + TestHub.sha256(Self.weights) + ".incomplete"
        try bench.write(TestModels.bytes(50_000, seed: 77), to: path)
        try await bench.pull()
        bench.expectWhole(Self.model)
        #expect(bench.hub.downloads(of: "model.safetensors").map(\.rangeStart) == [50_000, nil])
    }

    @Test("A part that is longer than the file is not one")
    func longPart() async throws {
        let bench = try PullBench()
        let path = bench.modelFolder + "/blobs/" + TestHub.sha256(Self.weights) + ".incomplete"
        try bench.write(TestModels.bytes(300_001), to: path)
        try await bench.pull()
        bench.expectWhole(Self.model)
    }

    @Test("Wrong contents are thrown away", arguments: ["model.safetensors", "tokenizer.json"])
    func wrongChecksum(file: String) async throws {
        let bench = try PullBench()
        let wrong = Self.model.files[file]!.map { $0 ^ 1 }
        let isLarge = file == "model.safetensors"
        bench.hub.behave { request, _ in
            guard request.path.hasPrefix("/cdn/") == isLarge, request.path.hasSuffix("/" + file) else { return nil }
            return TestHub.Reply(body: wrong)
        }
        let message = await bench.failure()
        #expect(message.contains("\(file) of acme/tiny-model came with another checksum"), "\(message)")
        bench.expectNothing()
        let hash = isLarge ? TestHub.sha256(Self.weights) : TestHub.gitHash(Self.model.files[file]!)
        #expect(!bench.blobs.contains { $0.hasPrefix(hash) })
    }

    @Test("A wrong length is refused before the contents are read")
    func wrongLength() async throws {
        let bench = try PullBench()
        bench.breakWeights(times: 99) { $0.body.append(1) }
        #expect(await bench.failure() == "model.safetensors has 300001 bytes; the hub announced 300000")
        bench.expectNothing()
    }

    @Test("A body longer than announced is cut")
    func tooLong() async throws {
        let bench = try PullBench()
        bench.breakWeights(times: 99) { reply in
            reply.body += [1, 2, 3]
            reply.announcedLength = -1
        }
        #expect(await bench.failure().contains("longer than the 300000 bytes that were announced"))
        bench.expectNothing()
    }

    @Test("An encoding that nobody asked for is refused")
    func encoding() async throws {
        let bench = try PullBench()
        bench.breakWeights(times: 99) { $0.headers.append(("Content-Encoding", "gzip")) }
        #expect(await bench.failure().contains("the encoding \"gzip\""))
        bench.expectNothing()
    }

    @Test("A hub that stumbles is asked again", arguments: [429, 500, 503, 408])
    func stumbles(status: Int) async throws {
        let bench = try PullBench()
        bench.hub.behave { _, count in
            count == 0 ? TestHub.Reply(status: status, headers: [("Retry-After", "0")]) : nil
        }
        try await bench.pull()
        bench.expectWhole(Self.model)
    }

    @Test("A hub that is down is given up")
    func down() async throws {
        let bench = try PullBench()
        bench.hub.behave { _, _ in TestHub.Reply(status: 502) }
        #expect(await bench.failure() == "127.0.0.1 has trouble (502), 5 times in a row")
        #expect(bench.hub.requests.count == 5)
    }

    @Test("A hub may ask for some patience, not for any")
    func retryAfter() async throws {
        let bench = try PullBench()
        bench.hub.behave { _, _ in TestHub.Reply(status: 429, headers: [("Retry-After", "86400")]) }
        #expect(
            await bench.failure()
                == "127.0.0.1 is asked too often (429), and asks to come back in 86400 seconds")
        #expect(bench.hub.requests.count == 1)
    }

    @Test("Nobody there")
    func nobody() async throws {
        var bench = try PullBench()
        bench.settings.connectTimeout = .milliseconds(300)
        bench.settings.endpoint = try #require(HubURL("http://127.0.0.1:1"))
        #expect(await bench.failure() == "no connection with 127.0.0.1: Connection refused")
        bench.settings.endpoint = try #require(HubURL("http://no-such-host.invalid"))
        #expect(await bench.failure().contains("no-such-host.invalid"))
    }

    @Test("Refusals say what to do")
    func refusals() async throws {
        var bench = try PullBench()
        bench.hub.behave { _, _ in TestHub.refusal(401, "GatedRepo") }
        let page = bench.hub.address + "/acme/tiny-model"
        #expect(
            await bench.failure()
                == "acme/tiny-model is gated: accept its licence on \(page), and use a token of that account in HF_TOKEN"
        )
        bench.hub.behave { _, _ in TestHub.refusal(401, "", "Invalid credentials in Authorization header") }
        #expect(await bench.failure().contains("does not accept the token"))
        bench.hub.behave { _, _ in TestHub.refusal(403, "") }
        #expect(await bench.failure().contains("forbidden: accept its licence on \(page)"))
        bench.settings.token = nil
        bench.hub.behave { request, _ in
            request.path.contains("/resolve/") ? TestHub.refusal(401, "GatedRepo") : nil
        }
        #expect(await bench.failure().contains("set HF_TOKEN to a token of that account"))
        bench.expectNothing()
        bench.hub.behave { _, _ in TestHub.refusal(401, "RepoNotFound") }
        #expect(await bench.failure().contains("is not on \(bench.hub.address), or is private, which takes a token"))
        bench.hub.behave { request, _ in
            request.path.hasSuffix("/tokenizer.json") ? TestHub.refusal(404, "EntryNotFound") : nil
        }
        #expect(await bench.failure().contains("lists tokenizer.json of acme/tiny-model and does not have it"))
        bench.hub.behave { request, _ in request.path.hasPrefix("/cdn/") ? TestHub.refusal(403, "") : nil }
        #expect(await bench.failure() == "localhost refuses acme/tiny-model's model.safetensors (status 403)")
        bench.hub.behave { _, _ in TestHub.Reply(status: 418) }
        #expect(await bench.failure().contains("status 418"))
        bench.expectNothing()
    }

    @Test("Half of a list of files is asked for again; one that stays half is refused")
    func halfList() async throws {
        let bench = try PullBench()
        let list = Array("{\"sha\": \"\(TestModels.commit)\", \"siblings\": [".utf8)
        bench.hub.behave { request, count in
            guard request.path.hasPrefix("/api/"), count < 2 else { return nil }
            return TestHub.Reply(body: list, announcedLength: count == 0 ? 5000 : -1)
        }
        try await bench.pull()
        bench.expectWhole(Self.model)
        bench.hub.behave { _, _ in TestHub.Reply(body: list) }
        #expect(await bench.failure().contains("the hub's list of files is not valid JSON"))
    }

    @Test("A list of files that is too long is not read")
    func longList() async throws {
        var bench = try PullBench()
        bench.settings.maxAnswerBytes = 500
        #expect(await bench.failure().contains("more than 500 bytes"))
        bench.settings.maxAnswerBytes = 1 << 20
        bench.settings.maxFiles = 3
        #expect(await bench.failure().contains("12 files; at most 3"))
    }

    // MARK: Disks

    /// A file system of two megabytes, gone with this value.
    private final class SmallDisk {
        let path: String

        init?(_ path: String) {
            self.path = path
            guard Shell.run("mount -t tmpfs -o size=2m none '\(path)'") == 0 else { return nil }
        }

        deinit { _ = Shell.run("umount -l '\(path)'") }
    }

    static let canMount: Bool = {
        guard let folder = try? TemporaryFolder() else { return false }
        return SmallDisk(folder.path) != nil
    }()

    @Test(
        "A model that does not fit is refused before it is downloaded",
        .enabled(if: canMount, "takes the right to mount a small disk"))
    func doesNotFit() async throws {
        let bench = try PullBench(TestModels.usual(weightBytes: 3_000_000))
        let disk = SmallDisk(bench.folder.path)
        try #require(disk != nil)
        let message = await bench.failure()
        #expect(message.contains("acme/tiny-model takes 3.0 MB more, and where"), "\(message)")
        #expect(bench.hub.downloads(of: "model.safetensors").isEmpty)
        bench.expectNothing()
    }

    @Test(
        "A disk that fills up while a model comes gets its space back",
        .enabled(if: canMount, "takes the right to mount a small disk"))
    func fillsUp() async throws {
        let bench = try PullBench(TestModels.usual(weightBytes: 1_000_000))
        let disk = SmallDisk(bench.folder.path)
        try #require(disk != nil)
        let (path, bytes) = (bench.folder.path + "/other", TestModels.bytes(1_500_000))
        let folder = bench.folder
        bench.hub.behave { request, _ in
            if request.path.hasPrefix("/cdn/"), readFile(path) == nil { _ = try? folder.write(bytes, "other") }
            return nil
        }
        #expect(await bench.failure().contains("no space is left for"))
        bench.expectNothing()
        #expect(!bench.blobs.contains { $0.hasSuffix(".incomplete") })
        _ = Shell.run("rm '\(path)'")
        bench.hub.behave { _, _ in nil }
        try await bench.pull()
        #expect(bench.reference == TestModels.commit)
    }
}
#endif

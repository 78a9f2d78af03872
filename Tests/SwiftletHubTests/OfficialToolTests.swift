// What one tool downloads the other takes as it is: with Hugging Face's own library, where there is one.
//     python3 -m venv venv && venv/bin/pip install huggingface_hub
//     SWIFTLET_HUGGINGFACE_HUB=venv/bin/python swift test --filter SwiftletHubTests

#if Server
import Swiftlet
import SwiftletHub
import SwiftletTestSupport
import Testing

@Suite(
    "Pull: beside huggingface_hub",
    .enabled(if: python != nil, "takes SWIFTLET_HUGGINGFACE_HUB, a Python that has huggingface_hub"))
struct OfficialToolTests {
    private func snapshotDownload(_ bench: PullBench, _ added: String = "") -> Int32 {
        let environment = "HF_ENDPOINT=\(bench.hub.address) HF_HOME='\(bench.folder.path)' HF_TOKEN=hf_secret"
        let script = """
            import huggingface_hub
            path = huggingface_hub.snapshot_download("\(TestModels.name)", \(added) allow_patterns=["*.json", "*.jinja", \
            "model.safetensors"])
            assert path == "\(bench.snapshot)", path
            """
        return Shell.run("\(environment) \(python ?? "") -c '\(script)'")
    }

    private func expectNoDownloads(_ bench: PullBench) {
        for file in TestModels.usual().files.keys { #expect(bench.hub.downloads(of: file).isEmpty, "\(file)") }
    }

    @Test("It takes our cache")
    func ours() async throws {
        let bench = try PullBench()
        try await bench.pull()
        bench.hub.forget()
        #expect(snapshotDownload(bench) == 0)
        expectNoDownloads(bench)
        bench.hub.forget()
        #expect(snapshotDownload(bench, "local_files_only=True,") == 0)
        #expect(bench.hub.requests.isEmpty)
    }

    @Test("We take its cache")
    func theirs() async throws {
        let bench = try PullBench()
        #expect(snapshotDownload(bench) == 0)
        bench.expectWhole(TestModels.usual())
        bench.hub.forget()
        var offline = bench
        offline.settings.isOffline = true
        #expect(try await offline.pull() == bench.snapshot)
        #expect(try await bench.pull() == bench.snapshot)
        expectNoDownloads(bench)
    }
}
#endif

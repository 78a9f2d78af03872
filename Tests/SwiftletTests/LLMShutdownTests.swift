// The end of an engine: every request gets exactly one end, whenever it comes.

import Swiftlet
import SwiftletTokenizer
import Testing

@Suite("LLM, shutting down", .serialized)
struct LLMShutdownTests {
    @Test("Shutdown ends open streams with engineFailed, and whatever comes later")
    func shutdown() async throws {
        let llm = try await LLM.endless()
        let prompt = Prompt.tokens([1, 2, 3])
        let streams = (0..<4).map { _ in llm.stream(prompt, .endless) }
        let readers = streams.map { stream in Task { try await stream.collect() } }
        #expect(await llm.wait { $0.generatedTokens > 4 })
        await llm.shutdown()
        for reader in readers {
            let error = await #expect(throws: LLMError.self) { try await reader.value }
            #expect(error?.code == .engineFailed && error?.message.contains("shut down") == true)
        }
        for _ in 0..<2 {
            let error = await #expect(throws: LLMError.self) { try await llm.generate([prompt], .greedy) }
            #expect(error?.code == .engineFailed)
        }
        #expect(llm.statistics.usedBlocks == 0)
    }

    @Test("Statistics after shutdown count what was aborted since the last step")
    func abortedBeforeShutdown() async throws {
        let llm = try await LLM.endless()
        for try await _ in llm.stream(.tokens([1, 2, 3]), .endless) { break }
        await llm.shutdown()
        #expect(llm.statistics.aborted == 1)
    }

    @Test("A request posted behind the stop, before the thread reads either, ends too")
    func postedBehindStop() async throws {
        let mailbox = Mailbox()
        let (stream, sink) = TokenStream.make(prompt: nil, promptTokenIDs: [1], choiceCount: 1, abort: {})
        mailbox.post(.stop)
        mailbox.post(
            .submit(Submission(id: 1, prompt: [1], params: .greedy, seed: 0, tokenLimit: 9, sink: sink)))
        let folder = DummyModel.folder(DummyModel.qwen3)
        let loader = ModelLoader(
            model: folder.path, tokenizerPath: nil,
            config: EngineConfig(kvCache: .blocks(4), threads: 1, loadFormat: .dummy), logger: LogRecorder().logger)
        _ = try await EngineThread.start(mailbox, maxQueuedRequests: nil) {
            () throws(LLMError) -> (Engine<CPUBackend>, LoadedModel) in try loader.load()
        }
        // A stream that never ends would keep the test waiting for ever; its own end is what is raced here.
        let end = await withTaskGroup(of: LLMError.Code?.self) { group in
            group.addTask {
                do { _ = try await stream.collect() } catch { return (error as? LLMError)?.code }
                return nil
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(60))
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        #expect(end == .engineFailed)
    }

    @Test("Requests that race with a shutdown all end")
    func shutdownRace() async throws {
        let folder = DummyModel.folder(DummyModel.qwen3)
        for _ in 0..<20 {
            let llm = try await LLM.quiet(
                folder.path, EngineConfig(kvCache: .blocks(16), threads: 1, seed: 1, loadFormat: .dummy))
            let ended = await withTaskGroup(of: Bool.self) { group in
                for index in 0..<8 {
                    group.addTask {
                        do {
                            _ = try await llm.generate([.tokens([1, 2, TokenID(index)])], LLMTests.greedy(100))
                            return true
                        } catch {
                            return (error as? LLMError)?.code == .engineFailed
                        }
                    }
                }
                group.addTask {
                    await llm.shutdown()
                    return true
                }
                return await group.reduce(true) { $0 && $1 }
            }
            #expect(ended)
        }
    }
}

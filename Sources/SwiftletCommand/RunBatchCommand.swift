// `swiftlet run-batch`: a file of OpenAI's batch format, answered by the code of the server without HTTP.
// Invariant: killed at any moment and run again, every request has one answer at the end and none is computed again that
// was finished.

package import ArgumentParser
package import Swiftlet
import SwiftletJSON
import SwiftletServer
import SwiftletTemplate

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package struct RunBatchCommand: AsyncParsableCommand, ReplicatedCommand {
    package static let configuration = CommandConfiguration(
        commandName: "run-batch",
        abstract: "Answer a file of OpenAI's batch format.",
        discussion: """
            Each line of the input is {"custom_id": "…", "method": "POST", "url": "/v1/chat/completions" or \
            "/v1/completions", "body": {…}}; each line of the output, in the same order, is {"id", "custom_id", \
            "response": {"status_code", "request_id", "body"}, "error"} with what the server would answer. A line that \
            is no request is answered with an error.

            Answers go to OUT.partial as they come and to OUT when all are there. Whatever ended a run, the same \
            command goes on where it left off; with another input, model or options it refuses to. When OUT has all \
            answers already, nothing is done: remove it to run again.
            """)

    @Option(
        name: [.customLong("input-file"), .customShort("i")],
        help: ArgumentHelp("Requests, one JSON object a line; - is standard input.", valueName: "in.jsonl"))
    package var inputFile: String

    @Option(
        name: [.customLong("output-file"), .customShort("o")],
        help: ArgumentHelp("Where the answers go.", valueName: "out.jsonl"))
    package var outputFile: String

    @OptionGroup(title: "Answer options")
    package var answers: AnswerOptions

    @OptionGroup package var replicas: ReplicaOptions

    @OptionGroup(title: "Engine options")
    package var engine: EngineOptions

    package init() {}

    package func validate() throws {
        if outputFile == "-" {
            throw ValidationError("--output-file must be a file: a run that was killed goes on with what is beside it.")
        }
    }

    package mutating func run() async throws {
        let command = self
        let interrupts = Interrupts()
        try await interrupts.run { try await command.runBatch(interrupts) }
    }

    private func runBatch(_ interrupts: Interrupts) async throws {
        let environment = ProcessInfo.processInfo.environment
        let world = try join(environment: environment)
        let file = try BatchJob.input(inputFile)
        let runHash = try hashOfOptions(try answers.configuration(modelName: engine.model))
        if try await isAnswered(file, runHash) {
            if !engine.quiet {
                Console.note("\(outputFile) has an answer to every request of \(inputFile); remove it to run again")
            }
            await world?.leave()
            return
        }
        let reader = LineReader(file)
        let (output, earlier) = try await resume(file, runHash)
        output.noteKept()
        let (first, answeredBytes) = try await earlier.unanswered(
            in: reader, of: outputFile, fingerprint: BatchLine.ID.fingerprint(of:))
        if earlier.count > 0 && !engine.quiet {
            Console.note("\(Format.count(earlier.count, "request")) answered by an earlier run")
        }
        // An earlier run was killed at its very end.
        if first.isEmpty {
            try output.finish(count: reader.requestCount)
            await world?.leave()
            return
        }
        let engines: Replicas
        do {
            engines = try await load(in: world, environment: environment)
        } catch {
            output.removeIfEmpty()
            throw error
        }
        let batch = BatchRun(
            reader: reader, first: first, finishedBytes: answeredBytes, output: output,
            window: engines.count * BatchRun.window(for: engine.config), respond: try deal(to: engines))
        let job = BatchJob(
            run: batch, engines: engines, input: file, output: output, quiet: engine.quiet, interrupts: interrupts,
            advice: " (the same command goes on from there)")
        let progress = try await job()
        // Errors are answers, as in OpenAI's batches.
        if let failures = progress.failures, !engine.quiet { Console.note(failures) }
    }

    // MARK: - Requests

    /// What is read ahead is bounded by the batch; a line with many prompts is not to be refused for their number.
    package func adjust(_ config: inout EngineConfig) { config.maxQueuedRequests = nil }

    package func responder(_ llm: LLM) throws -> BatchRun.Respond {
        let configuration = try answers.configuration(modelName: engine.model)
        let runHash = try hashOfOptions(configuration)
        let service = GenerationService(llm, configuration)
        return { entry in try await Self.answer(entry, id: BatchLine.ID(run: runHash, entry), service) }
    }

    private static func answer(
        _ entry: LineReader.Entry, id: BatchLine.ID, _ service: GenerationService
    ) async throws -> BatchRun.Answer {
        let line: BatchLine
        do throws(BatchLine.Failure) {
            line = try BatchLine(entry)
        } catch {
            return .init(line: BatchLine.line(id: id, error), failure: error.message)
        }
        let requestID = RequestIDs.make()
        let answer = try await answer(line, requestID, service)
        return .init(
            line: BatchLine.line(id: id, customID: line.customID, answer, requestID: requestID),
            failure: answer.status == 200 ? nil : "line \(entry.number): \(message(of: answer) ?? "no answer")")
    }

    /// What the server would answer; what is no answer to this request ends the run.
    private static func answer(
        _ line: BatchLine, _ requestID: String, _ service: GenerationService
    ) async throws -> GenerationService.Answer {
        let answer = await service.answer(line.endpoint, line.body, id: requestID)
        try Task.checkCancellation()
        // 503: the engine has failed and may be about to say so.
        guard service.llm.isRunning && answer.status != 503 else {
            throw LLMError(.engineFailed, message(of: answer) ?? "the engine has stopped")
        }
        return answer
    }

    /// What the error in an answer says.
    private static func message(of answer: GenerationService.Answer) -> String? {
        (try? JSONDocument(parsing: answer.body).root["error"])?["message"]?.string
    }

    // MARK: - Earlier runs

    /// The hash of everything that decides what is answered, except for the files of the model.
    private func hashOfOptions(_ configuration: OpenAIConfiguration) throws(LLMError) -> UInt64 {
        var options: [String] = [
            engine.model, engine.revision, engine.tokenizer, engine.dtype.rawValue,
            engine.quantized.quantization?.rawValue, engine.quantized.kvCacheDtype.rawValue, engine.loadFormat.rawValue,
            answers.toolCallParser?.format.rawValue, answers.reasoningParser?.format.rawValue,
            engine.generationConfig.rawValue,
        ].map { $0 ?? "" }
        options += [engine.maxModelLen?.value, engine.maxLogprobs].map { $0.map(String.init) ?? "" }
        options += [engine.seed.map(String.init) ?? ""]
        options += [engine.quantized.quantizeHead, answers.enableAutoToolChoice].map { $0 ? "on" : "off" }
        var text = options.joined(separator: "\0") + "\0" + configuration.modelNames.joined(separator: "\0") + "\0"
        text += configuration.templateVariables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            .joined(separator: "\0")
        var bytes = Array(text.utf8)
        if let template = answers.chatTemplate { bytes += try Platform.readFile(template, limit: 1 << 20) }
        return Fingerprint.of(bytes)
    }

    /// Whether the output is that of a run of the same input that came to its end. A pipe can't be read twice.
    private func isAnswered(_ input: File, _ runHash: UInt64) async throws -> Bool {
        guard inputFile != "-", input.isRegular, File.exists(outputFile), !File.exists(outputFile + ".partial"),
            case let output = try File(outputFile, .read), output.isRegular
        else { return false }
        let requests = LineReader(try File(inputFile, .read))
        let lines = LineReader(output, limit: .max)
        while let request = try await requests.nextRequest() {
            guard case .text(let line) = try await lines.next()?.line,
                BatchLine.ID(of: line) == BatchLine.ID(run: runHash, request)
            else { return false }
        }
        return try await lines.next() == nil
    }

    private func resume(_ file: File, _ runHash: UInt64) async throws -> (OrderedOutput, EarlierResults) {
        try await OrderedOutput.resuming(outputFile, input: file) { line in
            guard let id = BatchLine.ID(of: line) else { return nil }
            guard id.run == runHash else {
                throw LLMError(
                    .invalidConfiguration,
                    "\(outputFile).partial is of a run with another model or other options; use those, or remove it to begin anew"
                )
            }
            return id.mark
        }
    }
}

// `swiftlet tokenize`: text to token ids and back, one text or a file of them.
// Results go to standard output or to --output, everything else to standard error; no weights are read.
// Invariant: exit code 0 only when every line was answered.

package import ArgumentParser
import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package struct TokenizeCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Show the tokens of a text, or convert a file of texts and ids.",
        discussion: """
            Without a text, standard input is read as one (without its last line end). A terminal shows the text with \
            its tokens in two colours and their ids (not with NO_COLOR set); a pipe gets one token a line, its id, a \
            tab and its text.

            Batches: each line of --input is {"text": "…"} with an optional "add_special_tokens": true or false, or \
            {"ids": […]} with an optional "skip_special_tokens"; the options here are the defaults. Each gives a line \
            in the same order, {"ids": […]}, {"text": "…"} or {"error": "…"}; with --output they go to OUT.partial \
            and to OUT when all are done.
            """)

    @Argument(help: "Text to tokenize; with --decode, token ids.")
    package var words: [String] = []

    @OptionGroup package var source: TokenizerOptions

    @Option(
        name: [.long, .customShort("i")],
        help: ArgumentHelp("Texts and ids, one JSON object a line; - is standard input.", valueName: "in.jsonl"))
    package var input: String?

    @Option(
        name: [.long, .customShort("o")],
        help: ArgumentHelp(
            "Where the results of --input go (default, and -: standard output).", valueName: "out.jsonl"))
    package var output: String?

    @Flag(
        inversion: .prefixedNo, help: "Put around a text what the model expects there, such as a token for its start.")
    package var addSpecialTokens = true

    @Flag(help: "Turn ids, separated by spaces or commas, into text.")
    package var decode = false

    @Flag(help: "Leave special tokens out of decoded text.")
    package var skipSpecialTokens = false

    @Flag(help: "Print JSON: the ids of a text and their tokens as the file writes them, or the text of ids.")
    package var json = false

    package init() {}

    package func validate() throws {
        if input == nil && output != nil { throw ValidationError("--output goes with --input.") }
        if input != nil && (!words.isEmpty || decode || json) {
            throw ValidationError("Give --input, or a text and its options; not both.")
        }
        if words.count > 1 && !decode { throw ValidationError("Give one text; put it in quotes.") }
    }

    package mutating func run() async throws {
        if let input {
            try await runBatch(from: input)
        } else {
            if words.isEmpty && File.standardInput.isTerminal {
                throw ValidationError("A text is missing; give it as an argument or on standard input.")
            }
            try await runOnce()
        }
    }

    private func loadTokenizer() async throws -> Tokenizer { try TokenizerFiles.load(try await source.folder()) }

    private func runOnce() async throws {
        let text = try words.isEmpty ? StandardInput.text(called: "text") : words.joined(separator: " ")
        let request: TokenizeRequest =
            if decode {
                .decode(try Self.ids(text), skipSpecialTokens: skipSpecialTokens)
            } else {
                .encode(text, addSpecialTokens: addSpecialTokens)
            }
        let tokenizer = try await loadTokenizer()
        let bytes: [UInt8]
        switch request {
        case .decode where json: bytes = request.answer(tokenizer)
        case .decode(let ids, let skip): bytes = Array((tokenizer.decode(ids, skipSpecialTokens: skip) + "\n").utf8)
        case .encode(let text, let addSpecialTokens):
            let report = TokenizeReport(tokenizer.encode(text, addSpecialTokens: addSpecialTokens), tokenizer)
            let environment = ProcessInfo.processInfo.environment
            if json {
                var writer = JSONWriter()
                report.write(to: &writer)
                bytes = writer.bytes
            } else if Console.usesColor(on: .standardOutput, environment: environment) {
                bytes = Array(report.colored.utf8)
            } else {
                bytes = Array(report.plain.utf8)
            }
        }
        try File.standardOutput.write(bytes)
    }

    /// Ids as people write them: `1 2`, `1, 2` or `[1, 2]`.
    static func ids(_ text: String) throws(ValidationError) -> [TokenID] {
        var ids: [TokenID] = []
        for word in text.split(whereSeparator: { $0.isWhitespace || ",[]".contains($0) }) {
            guard let id = TokenID(word) else { throw ValidationError("\(word) is not a token id.") }
            ids.append(id)
        }
        return ids
    }

    // MARK: Batches

    private func runBatch(from input: String) async throws {
        let file = try BatchJob.input(input)
        let path = output == "-" ? nil : output
        if let path { try OrderedOutput.check(path, input: file) }
        let tokenizer = try await loadTokenizer()
        let ordered = try path.map { path throws(LLMError) in try BatchJob.output(path, input: file) }
        let outcome = try await answerLines(of: LineReader(file), tokenizer, ordered)
        try ordered?.finish(count: outcome.count)
        if outcome.failed > 0 {
            Console.error(
                "\(Format.count(outcome.failed)) of \(Format.count(outcome.count, "line")) failed"
                    + (outcome.firstFailure.map { "; the first: \($0)" } ?? ""))
            throw ExitCode.failure
        }
    }

    private struct Outcome {
        var count = 0
        var failed = 0
        var firstFailure: String?
    }

    private func answerLines(
        of reader: LineReader, _ tokenizer: Tokenizer, _ ordered: OrderedOutput?
    ) async throws -> Outcome {
        let defaults = TokenizeRequest.Defaults(
            addSpecialTokens: addSpecialTokens, skipSpecialTokens: skipSpecialTokens)
        var outcome = Outcome()
        while let entry = try await reader.nextRequest() {
            let line: [UInt8]
            do throws(LLMError) {
                line = try TokenizeRequest(entry.line, number: entry.number, defaults: defaults).answer(tokenizer)
            } catch {
                line = TokenizeRequest.line(error)
                outcome.failed += 1
                outcome.firstFailure = outcome.firstFailure ?? error.message
            }
            if let ordered { try ordered.write(line, at: outcome.count) } else { try File.standardOutput.write(line) }
            outcome.count += 1
        }
        return outcome
    }
}

// Batch input lines: what is accepted, and that every other line is refused with words that help.

import Swiftlet
import SwiftletCommand
import SwiftletTestSupport
import Testing

@Suite("Batch input lines")
struct BatchRequestTests {
    private func parse(_ line: String, defaults: SamplingParams = SamplingParams()) throws -> BatchRequest {
        try BatchRequest(.text(Array(line.utf8)), number: 3, defaults: defaults)
    }

    @Test("Text, token ids and parameters are read")
    func requests() throws {
        let defaults = SamplingParams(temperature: 0.5, maxTokens: 99)
        let text = try parse(#" {"id": "a\n", "prompt": "h\u00e9"} "#, defaults: defaults)
        #expect(text.id == "a\n")
        #expect(text.request == Request(.text("hé"), defaults))
        #expect(!text.namesMaxTokens)
        let line =
            #"{"sampling_params": {"max_tokens": 7, "top_k": -1, "stop": "x"}, "prompt_token_ids": [3, 0], "#
            + #""id": ""}"#
        let tokens = try parse(line, defaults: defaults)
        var params = defaults
        params.maxTokens = 7
        params.stop = ["x"]
        #expect(tokens.request == Request(.tokens([3, 0]), params))
        #expect(tokens.namesMaxTokens)
        #expect(try parse(#"{"id": "a", "prompt": "", "sampling_params": null}"#).request.prompt == .text(""))
    }

    @Test(
        "A bad line says what is wrong and keeps its id",
        arguments: [
            (#"{"id": "a", "prompt": "x""#, nil, "bad JSON"),
            ("", nil, "bad JSON"),
            (#"{"id": "a", "prompt": "x"} y"#, nil, "bad JSON"),
            (#"{"id": "a", "id": "b", "prompt": "x"}"#, nil, "\"id\" appears twice"),
            (#"["id"]"#, nil, "object"),
            (#"{"prompt": "x"}"#, nil, "\"id\" is missing"),
            (#"{"id": 5, "prompt": "x"}"#, nil, "\"id\" is 5"),
            (#"{"id": "a"}"#, "a", "\"prompt\" or \"prompt_token_ids\""),
            (#"{"id": "a", "prompt": "x", "prompt_token_ids": [1]}"#, "a", "both"),
            (#"{"id": "a", "prompt": ["x"]}"#, "a", "\"prompt\" is a list"),
            (#"{"id": "a", "prompt": null}"#, "a", "\"prompt\" is null"),
            (#"{"id": "a", "prompt_token_ids": "1"}"#, "a", "must be a list"),
            (#"{"id": "a", "prompt_token_ids": [1, 2.5]}"#, "a", "[1] is 2.5"),
            (#"{"id": "a", "prompt_token_ids": [4294967296]}"#, "a", "[0] is 4294967296"),
            (#"{"id": "a", "promt": "x"}"#, "a", "\"promt\" is not known"),
            (#"{"id": "a", "prompt": "x", "sampling_params": []}"#, "a", "must be an object"),
        ])
    func failures(line: String, id: String?, words: String) throws {
        let failure = try #require(throws: BatchRequest.Failure.self) { try parse(line) }
        #expect(failure.id == id)
        #expect(failure.message.hasPrefix("line 3: "))
        #expect(failure.message.contains(words), "\(failure.message)")
    }

    @Test(
        "A bad sampling parameter is named",
        arguments: [
            (#"{"temprature": 1}"#, "\"temprature\" is not known"),
            (#"{"temperature": "1"}"#, "temperature must be a number"),
            (#"{"n": 1, "max_tokens": 1.5}"#, "max_tokens can't be 1.5"),
            (#"{"n": 1, "seed": 1.5}"#, "seed"),
            (#"{"stop": [1]}"#, "stop[0] must be a string"),
            (#"{"ignore_eos": 1}"#, "ignore_eos must be true or false"),
            (#"{"logit_bias": {"x": 1}}"#, "logit_bias has the key \"x\""),
        ])
    func parameters(params: String, words: String) throws {
        let failure = try #require(throws: BatchRequest.Failure.self) {
            try parse(#"{"id": "a", "prompt": "x", "sampling_params": \#(params)}"#)
        }
        #expect(failure.id == "a")
        #expect(failure.message.contains(words), "\(failure.message)")
    }

    @Test("An over-long line and deep nesting are refused")
    func limits() throws {
        let long = try #require(throws: BatchRequest.Failure.self) {
            try BatchRequest(.tooLong, number: 9, defaults: SamplingParams())
        }
        #expect(long.message.contains("line 9") && long.message.contains("16 MiB"))
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: BatchRequest.Failure.self) { try parse(#"{"id": "a", "prompt_token_ids": "# + deep) }
    }

    /// Mutated lines: a failure with words, or a request whose parameters can be checked.
    @Test("Broken bytes never crash", .timeLimit(.minutes(FuzzRun.limitInMinutes)))
    func fuzz() throws {
        let lines = [
            #"{"id": "a", "prompt_token_ids": [1, -2], "sampling_params": {"stop": ["é"], "logit_bias": {"1": 2e9}}}"#,
            #"{"id": "b", "prompt": "h\u00e9 \ud83d\ude42", "sampling_params": {"n": 2, "temperature": 0.5, "top_k": -1, "#
                + #""top_p": 0.9, "seed": 18446744073709551615, "max_tokens": 7, "stop": "x", "logprobs": 3}}"#,
        ].map { Array($0.utf8) }
        let run = FuzzRun(seconds: 2, seed: 20_261_126)
        var random = Steps(state: run.seed)
        var (accepted, refused) = (0, 0)
        while run.goesOn {
            var bytes = lines[(accepted + refused) % lines.count]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                case 2: bytes.replaceSubrange(place...place, with: Self.pieces.randomElement(using: &random)!.utf8)
                default: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &random)], at: place)
                }
            }
            do throws(BatchRequest.Failure) {
                let read = try BatchRequest(.text(bytes), number: accepted, defaults: SamplingParams())
                try? read.request.params?.validate(vocabularySize: 100)
                accepted += 1
            } catch {
                #expect(error.message.hasPrefix("line \(accepted): ") && error.message.count > 12, "seed \(run.seed)")
                refused += 1
            }
        }
        #expect(accepted > 20 && refused > 100, "accepted \(accepted), refused \(refused), seed \(run.seed)")
    }

    private static let pieces = ["9223372036854775808", "-1", "1e400", "null", "[", "{}", "\"", "\\ud800", "\u{0}"]

    /// A seeded generator (SplitMix64).
    struct Steps: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
            return value ^ value >> 31
        }
    }
}

// From words on the command line to EngineConfig and SamplingParams, and what is refused with exit code 64.

import ArgumentParser
import Swiftlet
import SwiftletCommand
import Testing

@Suite("Command line options")
struct OptionsTests {
    private func parse(_ line: String) throws -> GenerateCommand {
        let words = ["generate"] + line.split(separator: " ").map(String.init)
        return try #require(try SwiftletCommand.parseAsRoot(words) as? GenerateCommand)
    }

    @Test("Nothing given leaves every default")
    func defaults() throws {
        let command = try parse("hello")
        #expect(command.engine.config == EngineConfig())
        let defaults = SamplingParams(temperature: 0.6, topK: 20, topP: 0.9, maxTokens: 16, skipSpecialTokens: false)
        var expected = defaults
        expected.maxTokens = 256
        #expect(command.params(over: defaults) == expected)
        #expect(command.prompts == ["hello"])
    }

    @Test("Every engine option reaches the configuration")
    func engine() throws {
        let command = try parse(
            """
            -m dir --tokenizer tok --dtype bfloat16 --kv-cache-dtype int8 --load-format dummy --max-model-len 4K --max-num-seqs 3 \
            --max-num-batched-tokens 100 --block-size 32 --kv-cache-memory-bytes 1.5G --no-enable-prefix-caching \
            --no-enable-chunked-prefill --no-enable-mixed-batches --trace t.json --seed 18446744073709551615 \
            --generation-config vllm --max-logprobs 7 --threads 2 --cpu-level avx2 --max-queued-requests 9 --log-level debug --quiet x
            """)
        #expect(command.engine.model == "dir")
        #expect(command.engine.tokenizer == "tok")
        #expect(command.engine.quiet)
        #expect(command.engine.logLevel(environment: [:]) == .debug)
        #expect(
            command.engine.config
                == EngineConfig(
                    dtype: .bfloat16, kvCacheType: .int8, maxModelLength: 4096, maxSequences: 3,
                    maxBatchedTokens: 100, blockSize: 32, kvCache: .bytes(3 << 29), enablePrefixCaching: false,
                    enableChunkedPrefill: false,
                    enableMixedBatches: false, traceFile: "t.json", threads: 2,
                    cpuLevel: "avx2", seed: .max, loadFormat: .dummy, maxQueuedRequests: 9, maxLogprobs: 7,
                    useGenerationConfig: false))
        #expect(try parse("--num-gpu-blocks-override 12 x").engine.config.kvCache == .blocks(12))
        #expect(
            try parse("--device cuda --enforce-eager x").engine.config
                == EngineConfig(device: .cuda, enforceEager: true))
    }

    @Test("Every sampling option reaches the parameters")
    func sampling() throws {
        let command = try parse(
            """
            --temperature 0.5 --top-k 4 --top-p 0.9 --min-p 0.1 --presence-penalty -1 --frequency-penalty -0.5 \
            --repetition-penalty 1.2 --max-tokens 9 --min-tokens 2 --stop a --stop -b --include-stop-str-in-output \
            --stop-token-ids 1,2 --ignore-eos --logit-bias {"5":-2.5} --allowed-token-ids 3,4 -n 2 --logprobs 1 \
            --prompt-logprobs 0 --no-skip-special-tokens --seed 5 x
            """)
        #expect(
            command.params(over: SamplingParams())
                == SamplingParams(
                    n: 2, temperature: 0.5, topK: 4, topP: 0.9, minP: 0.1, presencePenalty: -1, frequencyPenalty: -0.5,
                    repetitionPenalty: 1.2, seed: 5, maxTokens: 9, minTokens: 2, stop: ["a", "-b"],
                    includeStopStringInOutput: true, stopTokenIDs: [1, 2], ignoreEOS: true, logitBias: [5: -2.5],
                    allowedTokenIDs: [3, 4], logprobs: 1, promptLogprobs: 0, skipSpecialTokens: false))
        let all = try parse("--top-k -1 x").params(over: SamplingParams(topK: 20))
        #expect(all.topK == nil)
    }

    @Test(
        "What makes no sense is a usage error",
        arguments: [
            "--temperature hot x", "--temperature -1 x", "--top-p 0 x", "--presence-penalty -3 x", "--max-tokens 0 x",
            "--min-tokens 5 --max-tokens 4 x", "-n 0 x", "--stop-token-ids 1,,2 x", "--stop-token-ids -1 x",
            "--logit-bias [1] x", "--logit-bias {\"a\":1} x", "--dtype int8 x", "--block-size 48 x", "--threads 0 x",
            "--kv-cache-memory-bytes 8Q x", "--kv-cache-memory-bytes 0 x", "--max-num-seqs 0 x", "--cpu-level sse x",
            "--device tpu x", "--enforce-eager x", "--device cuda --kv-cache-dtype int8 x",
            "--device cuda --threads 2 x", "--kv-cache-memory-bytes 1G --num-gpu-blocks-override 4 x",
            "--max-model-len 99999999999999999999 x", "--input a", "--output a x", "--input a --output b x", "--nope x",
        ])
    func refused(line: String) {
        do {
            _ = try parse(line)
            Issue.record("\(line) was accepted")
        } catch {
            #expect(SwiftletCommand.exitCode(for: error) == ExitCode(64), "\(line): \(error)")
        }
    }

    @Test("Sizes read as vLLM reads them")
    func sizes() {
        #expect(Size(argument: "512")?.value == 512)
        #expect(Size(argument: "2k")?.value == 2000)
        #expect(Size(argument: "2K")?.value == 2048)
        #expect(Size(argument: "1.5M")?.value == 3 << 19)
        for bad in ["", "k", "1kk", "-1k", "1e400G", "9999999T", "nank", "infG", "0x10Q"] {
            #expect(Size(argument: bad) == nil, "\(bad)")
        }
    }

    @Test("The log's level comes from the option, then from the environment")
    func logLevel() throws {
        let plain = try parse("x").engine
        #expect(plain.logLevel(environment: [:]) == .warning)
        #expect(plain.logLevel(environment: ["SWIFTLET_LOG_LEVEL": "INFO"]) == .info)
        #expect(try parse("--quiet x").engine.logLevel(environment: [:]) == .error)
        let named = try parse("--log-level error x").engine
        #expect(named.logLevel(environment: ["SWIFTLET_LOG_LEVEL": "info"]) == .error)
    }

    @Test("Weights are quantised on demand, the head with them unless it is named")
    func quantization() throws {
        let plain = try parse("x").engine.config
        #expect(plain.quantization == nil && plain.quantizeHead)
        for option in ["--quantization int8 x", "-q int8 x"] {
            let config = try parse(option).engine.config
            #expect(config.quantization == .int8 && config.quantizeHead)
        }
        #expect(try !parse("-q int8 --no-quantize-head x").engine.config.quantizeHead)
        #expect(throws: (any Error).self) { try parse("--no-quantize-head x") }
    }

    @Test("Help names every option")
    func help() {
        let help = SwiftletCommand.helpMessage(for: GenerateCommand.self)
        let names = """
            --input --output --temperature --top-k --top-p --min-p --presence-penalty --frequency-penalty \
            --repetition-penalty --max-tokens --min-tokens --stop --include-stop-str-in-output --stop-token-ids \
            --ignore-eos --logit-bias --allowed-token-ids -n, --logprobs --prompt-logprobs --no-skip-special-tokens \
            -m, --model --tokenizer --device --enforce-eager --dtype -q, --quantization --quantize-head --no-quantize-head --kv-cache-dtype --load-format --max-model-len --max-num-seqs --max-num-batched-tokens \
            --block-size --kv-cache-memory-bytes --num-gpu-blocks-override --enable-prefix-caching \
            --no-enable-prefix-caching --enable-chunked-prefill --no-enable-chunked-prefill --enable-mixed-batches --no-enable-mixed-batches --trace --seed \
            --generation-config --max-logprobs --threads --cpu-level --max-queued-requests --log-level --quiet --version
            """
        for name in names.split(separator: " ") {
            #expect(help.contains(" \(name)") || help.contains("/\(name)"), "\(name)")
        }
    }
}

// Which format a model's template shows, by the templates that models come with.
// Owned by this test target.

import SwiftletTemplate
import SwiftletTestSupport
import Testing

@Suite("Formats of answers")
struct AnswerFormatTests {
    @Test("Published templates show how their models call tools and think", .enabled(if: TestFiles.golden != nil))
    func published() throws {
        let folder = try #require(TestFiles.golden) + "/templates/"
        for (name, toolCalls, reasoning) in [
            ("cfg-qwen3", ToolCallFormat.hermes, ReasoningFormat.qwen3), ("Qwen-Qwen2.5-7B-Instruct", .hermes, nil),
            ("Qwen-QwQ-32B", .hermes, .qwen3), ("Qwen3.5-4B", .qwen3Coder, .qwen3),
            ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", .qwen3Coder, .qwen3), ("Bielik-11B-v3.0-Instruct", .hermes, .qwen3),
            ("ibm-granite-granite-4.0", .hermes, nil), ("meta-llama-Llama-3.1-8B-Instruct", .llama3JSON, nil),
            ("meta-llama-Llama-3.3-70B-Instruct", .llama3JSON, nil),
            ("js-meta-llama--Llama-3.2-11B-Vision-Instruct", .llama3JSON, nil), ("cfg-mistral-v0.3", .mistral, nil),
            ("Mistral-Small-3.2-24B-Instruct-2506", .mistral, nil),
            ("unsloth-mistral-Devstral-Small-2507", .mistral, nil),
            ("mistralai-Ministral-3-14B-Reasoning-2512", .mistral, .mistral),
            ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", nil, .qwen3), ("google-gemma-2-2b-it", nil, nil),
            ("js-zai-org--GLM-5.1", nil, .qwen3), ("meetkai-functionary-medium-v3.1", nil, nil),
            ("MiniMax-M3", nil, nil), ("poolside-Laguna-XS.2", nil, .qwen3), ("cfg-phi-4-mini", nil, nil),
            ("ByteDance-Seed-OSS", nil, nil), ("js-chatml-base", nil, nil),
        ] as [(String, ToolCallFormat?, ReasoningFormat?)] {
            let source = String(decoding: try #require(readFile(folder + name + ".jinja")), as: UTF8.self)
            #expect(ToolCallFormat.detect(in: source) == toolCalls, "\(name)")
            #expect(ReasoningFormat.detect(in: source) == reasoning, "\(name)")
        }
    }

    @Test("A template knows its formats")
    func template() throws {
        let template = try ChatTemplate("{# <tool_call>{\"name\": … <think></think> #}")
        #expect(template.toolCallFormat == .hermes && template.reasoningFormat == .qwen3)
        let plain = try ChatTemplate("{{ messages }}")
        #expect(plain.toolCallFormat == nil && plain.reasoningFormat == nil)
    }

    @Test("The names of vLLM's parsers are known")
    func names() {
        #expect(ToolCallFormat(parserName: "hermes") == .hermes)
        #expect(ToolCallFormat(parserName: "llama3_json") == .llama3JSON)
        #expect(ToolCallFormat(parserName: "qwen3_xml") == .qwen3Coder)
        #expect(ToolCallFormat(parserName: "pythonic") == nil)
        #expect(ReasoningFormat(parserName: "deepseek_r1") == .deepseekR1)
        #expect(ReasoningFormat(parserName: "x") == nil)
    }

    @Test("The end of the prompt says whether the answer begins with reasoning")
    func promptEnds() {
        for (format, prompt, starts) in [
            (ReasoningFormat.qwen3, "<|im_start|>assistant\n", false),
            (.qwen3, "<|im_start|>assistant\n<think>\n", true),
            (.qwen3, "<|im_start|>assistant\n<think>\n\n</think>\n\n", false), (.qwen3, "", false),
            (.deepseekR1, "<｜Assistant｜>", true), (.deepseekR1, "<｜Assistant｜><think>\n", true),
            (.deepseekR1, "<｜Assistant｜></think>", false), (.mistral, "[THINK]", true), (.mistral, "<think>", false),
        ] {
            #expect(format.startsInReasoning(prompt: prompt) == starts, "\(format) \(prompt)")
        }
    }
}

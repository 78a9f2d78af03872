// Chat: a conversation in ChatML, the format that the demo model was trained on. Each turn sends the whole conversation
// again; the prefix cache finds the blocks of the turns before, so only what is new is computed.

import Foundation
import Swiftlet

/// Written at once; `print` would wait for the end of the line.
func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

struct Message {
    var role: String
    var text: String
}

/// The conversation as text that ends where the answer begins.
func chatML(_ messages: [Message]) -> String {
    messages.map { "<|im_start|>\($0.role)\n\($0.text)<|im_end|>\n" }.joined() + "<|im_start|>assistant\n"
}

// Small blocks, so that even short turns fill some: only whole blocks are shared.
let llm = try await LLM(config: EngineConfig(blockSize: 16))
let questions = ["Who are you?", "What is a KV cache used for?", "Tell me a short story about a fox."]
var messages: [Message] = []

for question in questions {
    write("> \(question)\n")
    messages.append(Message(role: "user", text: question))
    var params = llm.defaultSamplingParams
    params.seed = 5
    params.maxTokens = 120
    var answer = ""
    var usage = Usage()
    for try await delta in llm.stream(.text(chatML(messages)), params) {
        write(delta.text)
        answer += delta.text
        usage = delta.usage
    }
    write("\n[\(usage.promptTokens) tokens of conversation, \(usage.cachedTokens) of them from the prefix cache]\n\n")
    messages.append(Message(role: "assistant", text: answer))
}

await llm.shutdown()

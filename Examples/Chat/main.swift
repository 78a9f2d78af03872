// Chat: a conversation in ChatML, the format that the demo model was trained on. Each turn sends the whole conversation
// again; the prefix cache finds the blocks of the turns before, so only what is new is computed.

import Foundation
import Swiftlet

struct Message {
    var role: String
    var text: String
}

/// The conversation as text that ends where the answer begins.
func chatML(_ messages: [Message]) -> String {
    messages.map { "<|im_start|>\($0.role)\n\($0.text)<|im_end|>\n" }.joined() + "<|im_start|>assistant\n"
}

/// Written at once; `print` would wait for the end of the line.
func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

/// Writes the answer to a conversation as it comes.
func answer(_ messages: [Message], _ llm: LLM) async throws -> Message {
    var params = llm.defaultSamplingParams
    params.temperature = 0.3
    params.seed = 5
    params.maxTokens = 160
    var answer = ""
    var usage = Usage()
    for try await delta in llm.stream(.text(chatML(messages)), params) {
        write(delta.text)
        answer += delta.text
        usage = delta.usage
    }
    write("\n[\(usage.promptTokens) tokens of conversation, \(usage.cachedTokens) of them from the prefix cache]\n\n")
    return Message(role: "assistant", text: answer)
}

// Small blocks, so that even short turns fill some: only whole blocks are shared.
let llm = try await LLM(config: EngineConfig(blockSize: 16))
var messages: [Message] = []
for question in ["Who are you?", "What is a KV cache used for?", "Tell me a short story about a fox."] {
    write("> \(question)\n")
    messages.append(Message(role: "user", text: question))
    messages.append(try await answer(messages, llm))
}
await llm.shutdown()

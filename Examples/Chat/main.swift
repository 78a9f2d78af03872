// Chat: a conversation through the model's chat template. Each turn sends the whole conversation again; the prefix cache
// finds the blocks of the turns before, so only what is new is computed.

import Foundation
import Swiftlet

/// Written at once; `print` would wait for the end of the line.
func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

/// Writes the answer to a conversation as it comes.
func answer(_ messages: [ChatMessage], _ llm: LLM) async throws -> ChatMessage {
    var params = llm.defaultChatSamplingParams
    params.temperature = 0.3
    params.seed = 5
    params.maxTokens = 160
    var answer = ""
    var usage = Usage()
    for try await delta in llm.streamChat(messages, params) {
        write(delta.text)
        answer += delta.text
        usage = delta.usage
    }
    write("\n[\(usage.promptTokens) tokens of conversation, \(usage.cachedTokens) of them from the prefix cache]\n\n")
    return .assistant(answer)
}

// Small blocks, so that even short turns fill some: only whole blocks are shared.
let llm = try await LLM(config: EngineConfig(blockSize: 16))
var messages: [ChatMessage] = []
for question in ["Who are you?", "What is a KV cache used for?", "Tell me a short story about a fox."] {
    write("> \(question)\n")
    messages.append(.user(question))
    messages.append(try await answer(messages, llm))
}
await llm.shutdown()

// TokenizeService: /tokenize and /detokenize, as vLLM has them.

import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

struct TokenizeService: Sendable {
    private let service: GenerationService

    init(_ service: GenerationService) { self.service = service }

    private func tokenizer() throws(APIError) -> Tokenizer {
        guard let tokenizer = service.llm.tokenizer else {
            throw .invalid("this model has no tokenizer.json")
        }
        return tokenizer
    }

    /// `{"prompt": …}` or `{"messages": […], …}` to `{"count", "max_model_len", "tokens", "token_strs"}`.
    func tokenize(_ body: [UInt8]) throws(APIError) -> [UInt8] {
        let fields = try RequestFields(body)
        _ = try service.model(fields.string("model"))
        let tokenizer = try tokenizer()
        let ids: [TokenID]
        if fields["messages"] != nil {
            let text: Prompt
            do {
                let messages = try ChatBody.messages(fields)
                text = try service.llm.chatRequest(messages, options: try ChatBody.options(fields, service)).prompt
            } catch let error as LLMError {
                throw APIError(error)
            } catch {
                throw error as? APIError ?? .invalid("\(error)")
            }
            guard case .text(let text) = text else { throw .invalid("the conversation has no text") }
            ids = tokenizer.encode(text, addSpecialTokens: try fields.bool("add_special_tokens") ?? false)
        } else {
            guard let text = try fields.string("prompt") else {
                throw .invalid("prompt or messages is missing", param: "prompt")
            }
            ids = tokenizer.encode(text, addSpecialTokens: try fields.bool("add_special_tokens") ?? true)
        }
        let wantsTexts = try fields.bool("return_token_strs") ?? false
        var json = JSONWriter()
        json.object { json in
            json.member("count", ids.count)
            json.member("max_model_len", service.llm.maxModelLength)
            json.key("tokens")
            json.array(ids) { json, id in json.int(id) }
            json.key("token_strs")
            if wantsTexts {
                json.array(ids) { json, id in json.string(tokenizer.token(id) ?? "") }
            } else {
                json.null()
            }
        }
        return json.bytes
    }

    /// `{"tokens": […]}` to `{"prompt"}`.
    func detokenize(_ body: [UInt8]) throws(APIError) -> [UInt8] {
        let fields = try RequestFields(body)
        _ = try service.model(fields.string("model"))
        let tokenizer = try tokenizer()
        guard let list = try fields.list("tokens") else { throw .invalid("tokens is missing", param: "tokens") }
        let ids = try GenerationRequest.tokenIDs(list, param: "tokens")
        if let stray = ids.first(where: { $0 < 0 || $0 >= service.llm.vocabularySize }) {
            throw .invalid("token \(stray) is outside of the vocabulary", param: "tokens")
        }
        var json = JSONWriter()
        json.object { json in json.member("prompt", tokenizer.decode(ids, skipSpecialTokens: false)) }
        return json.bytes
    }
}

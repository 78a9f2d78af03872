#if Server
// ServedPrompts: the bodies of a load's requests, written before its clock starts.
// Invariant: no two rounds begin alike, so that no prefix cache answers for the engine.

import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

struct ServedPrompts: Sendable {
    /// Token ids that every vocabulary has, for servers whose tokenizer is not at hand.
    static let commonVocabulary = 1000

    let workload: BenchWorkload
    let tokenizer: Tokenizer?
    let model: String
    let isChat: Bool
    let ignoresEOS: Bool
    let temperature: Double?
    /// Members for every body, as JSON text.
    let extra: [(name: String, value: [UInt8])]

    func bodies(round: Int) -> [[UInt8]] { workload.requests(round: round).map(body) }

    /// As many requests as `count`, of a round that no load has.
    func warmUps(count: Int, round: Int) -> [[UInt8]] {
        let bodies = bodies(round: round)
        return (0..<count).map { bodies[$0 % bodies.count] }
    }

    private func body(_ request: Request) -> [UInt8] {
        guard case .tokens(let prompt) = request.prompt else { preconditionFailure("a workload is of tokens") }
        let own = Set(extra.map(\.name))
        var json = JSONWriter()
        func member(_ name: String, _ write: () -> Void) {
            if !own.contains(name) {
                json.key(name)
                write()
            }
        }
        json.beginObject()
        member("model") { json.string(model) }
        if isChat {
            json.key("messages")
            json.beginArray()
            json.object { json in
                json.member("role", "user")
                json.member("content", text(prompt))
            }
            json.endArray()
        } else {
            json.key("prompt")
            json.array(prompt) { json, id in json.int(id) }
        }
        member("max_tokens") { json.int(request.params?.maxTokens ?? 1) }
        if let temperature { member("temperature") { json.double(temperature) } }
        if ignoresEOS { member("ignore_eos") { json.bool(true) } }
        member("stream") { json.bool(true) }
        member("stream_options") { json.raw(#"{"include_usage":true}"#.utf8) }
        for (name, value) in extra {
            json.key(name)
            json.raw(value)
        }
        json.endObject()
        return json.bytes
    }

    /// About as many tokens of text: the tokenizer's own, or common words, which most vocabularies have whole.
    private func text(_ prompt: [TokenID]) -> String {
        if let tokenizer { return tokenizer.decode(prompt) }
        return prompt.map { Self.words[Int($0) % Self.words.count] }.joined(separator: " ")
    }

    private static let words = """
        the of and to in is that it was for on are with as his they at be this from have or by one had not but what all \
        were when we there can an your which their said if do will each about how up out them then she many some so \
        these would other into has more her two like him see time could no make than first been its who now people my \
        made over did down only way find use may water long little very after words called just where most know
        """.split(separator: " ").map(String.init)
}
#endif

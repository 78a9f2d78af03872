// Small tokenizer files written by hand, so that the tests need nothing from outside.
// Owned by this test target.
// Invariant: what each token list spells out can be checked by eye.

import SwiftletJSON
import SwiftletTokenizer

enum Fixture {
    /// Byte-level: all 256 bytes in the order of the byte alphabet's scalars, then the results of the merges.
    static let byteLevelMerges = [
        "h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d", "Ġwor ld", "a a", "aa aa", "Ã ©", "Ġ Ġ",
    ]

    static var byteLevel: [UInt8] { byteLevel() }

    /// - Parameter sections: further members of the file, such as `"normalizer"`, as JSON.
    static func byteLevel(
        added: String =
            #"{"content":"<|end|>","special":true},{"content":"<tool>","special":false,"normalized":false}"#,
        normalizer: String = "null",
        preTokenizer: String = #"{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"#,
        postProcessor: String = "null", options: String = #""type":"BPE""#
    ) -> [UInt8] {
        var vocabulary = byteAlphabet
        for merge in byteLevelMerges { vocabulary.append(merge.filter { $0 != " " }) }
        return file(
            added: added, normalizer: normalizer, preTokenizer: preTokenizer, postProcessor: postProcessor,
            decoder: #"{"type":"ByteLevel"}"#, options: options, vocabulary: vocabulary, merges: byteLevelMerges)
    }

    /// The characters of the byte alphabet, those that stand for themselves first.
    static var byteAlphabet: [String] {
        let own = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
        let others = Array(0x100..<0x100 + 256 - own.count)
        return (own + others).compactMap { Unicode.Scalar($0).map { String(Character($0)) } }
    }

    /// In the manner of sentencepiece: unknown token, byte tokens, then characters and merges.
    static func sentencePiece(
        added: String = #"{"content":"<s>","special":true,"normalized":false}"#,
        normalizer: String = """
        {"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
         {"type":"Replace","pattern":{"String":" "},"content":"▁"}]}
        """,
        preTokenizer: String = "null",
        decoder: String = """
        {"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
         {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}
        """,
        options: String = #""type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true"#
    ) -> [UInt8] {
        var vocabulary = ["<unk>", "<s>"]
        for byte in 0..<256 {
            let digits = String(byte, radix: 16, uppercase: true)
            vocabulary.append("<0x" + (byte < 16 ? "0" : "") + digits + ">")
        }
        vocabulary += ["▁", "a", "b", "c", "é", "ab", "▁ab", "▁c", "abc"]
        return file(
            added: added, normalizer: normalizer, preTokenizer: preTokenizer,
            postProcessor: """
                {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],
                 "special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}}
                """,
            decoder: decoder, options: options, vocabulary: vocabulary,
            merges: ["a b", "▁ ab", "▁ c", "ab c"])
    }

    static func file(
        added: String, normalizer: String, preTokenizer: String, postProcessor: String, decoder: String,
        options: String, vocabulary: [String], merges: [String]
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            let sections = [
                "added_tokens": "[" + added + "]", "normalizer": normalizer, "pre_tokenizer": preTokenizer,
                "post_processor": postProcessor, "decoder": decoder,
            ]
            for (name, text) in sections.sorted(by: { $0.key < $1.key }) {
                writer.key(name)
                writer.raw(text.utf8)
            }
            writer.key("model")
            writer.raw(("{" + options + ",\"vocab\":").utf8)
            var tables = JSONWriter()
            tables.object { tables in
                for (id, token) in vocabulary.enumerated() {
                    tables.key(token)
                    tables.int(id)
                }
            }
            writer.bytes += tables.bytes
            tables = JSONWriter()
            tables.array(merges) { $0.string($1) }
            writer.bytes += Array(",\"merges\":".utf8) + tables.bytes + [UInt8(ascii: "}")]
        }
        return writer.bytes
    }
}

extension Tokenizer {
    /// The texts of the tokens of a text.
    func tokens(_ text: String, addSpecialTokens: Bool = false) -> [String] {
        encode(text, addSpecialTokens: addSpecialTokens).map { token($0) ?? "?" }
    }
}

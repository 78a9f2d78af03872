// The bytes that one token stands for, which may be part of a character. What a text of several tokens is, is
// StreamDecoder's business.

extension Tokenizer {
    /// The bytes of a token behind other tokens; none for an id that no token has.
    package func bytes(of id: TokenID) -> [UInt8] {
        var bytes: [UInt8] = []
        for stage in decoderStages {
            switch stage {
            case .byteLevel:
                if withText(of: id, { ByteAlphabet.appendBytes(of: $0, to: &bytes) }) ?? false { return bytes }
            case .byteFallback:
                if let byte = withText(of: id, { Self.byte(of: $0) }) ?? nil { return [byte] }
            default: break
            }
        }
        var decoder = makeStreamDecoder(skipSpecialTokens: false, isContinuation: true)
        let text = decoder.append(id)
        return Array((text + decoder.finish()).utf8)
    }

    /// The byte that `<0x0A>` stands for.
    private static func byte(of text: Bytes) -> UInt8? {
        guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: text[3..<5], as: UTF8.self), radix: 16)
    }
}

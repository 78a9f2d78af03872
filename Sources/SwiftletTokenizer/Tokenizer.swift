// The tokenizer as its users see it: text to ids and back, by what a tokenizer.json says.
// Owned by whoever loads it; immutable and shared freely between threads.
// Invariant: no model family is named anywhere; everything follows from the file's components.

import SwiftletJSON

/// The number a model knows a token by.
public typealias TokenID = Int32

/// A Hugging Face `tokenizer.json`, ready to use.
///
///     let tokenizer = try Tokenizer(contentsOf: "model/tokenizer.json")
///     let ids = tokenizer.encode("Hello there")
///     print(tokenizer.decode(ids))
public final class Tokenizer: Sendable {
    private let model: TokenModel
    private let vocabulary: Vocabulary
    private let normalizer: Normalizer?
    private let preTokenizer: PreTokenizer?
    private let postProcessor: PostProcessor
    private let added: AddedTokens
    let decoderStages: [DecoderStage]

    /// No file may make text grow without bounds; published ones at most triple it.
    private static let maximumGrowth = 1 << 12

    /// Loads a `tokenizer.json` file of at most 256 MiB.
    public convenience init(contentsOf path: String) throws {
        let bytes = try FileReader.read(path)
        do {
            try self.init(json: bytes)
        } catch {
            throw TokenizerError("\(path): \(error)")
        }
    }

    /// Loads the contents of a `tokenizer.json` file.
    public init(json bytes: [UInt8]) throws {
        let root: JSONValue
        do {
            root = try JSONDocument(parsing: bytes, maximumDepth: 64).root
        } catch {
            throw TokenizerError("not valid JSON: \(error)")
        }
        guard root.kind == .object else { throw TokenizerError("a tokenizer file must hold a JSON object") }
        func section(_ name: String) -> JSONValue? { root[name].flatMap { $0.isNull ? nil : $0 } }
        guard let modelSection = section("model") else { throw TokenizerError("model is missing") }
        let normalizer = try section("normalizer").map { json in try Normalizer(json) }
        model = try TokenModel(modelSection)
        vocabulary = model.vocabulary
        self.normalizer = normalizer
        let preTokenizer = try section("pre_tokenizer").map { json in try PreTokenizer(json) }
        for (name, growth) in [("normalizer", normalizer?.growth), ("pre_tokenizer", preTokenizer?.growth)] {
            guard growth ?? 1 <= Tokenizer.maximumGrowth else {
                throw TokenizerError("\(name): can make text over \(Tokenizer.maximumGrowth) times longer")
            }
        }
        self.preTokenizer = preTokenizer
        postProcessor = try section("post_processor").map { json in try PostProcessor(json) } ?? PostProcessor()
        decoderStages = try section("decoder").map { json in try DecoderStage.chain(json) } ?? [.join]
        added = try AddedTokens(section("added_tokens"), vocabulary: vocabulary, normalizer: normalizer)
    }

    // MARK: Vocabulary

    /// The largest token id plus one, added tokens included.
    public var vocabularySize: Int { max(vocabulary.idBound, added.vocabulary.idBound) }

    /// The text of a token as the file writes it (`Ġthe`, `▁the`, `<0x0A>`).
    public func token(_ id: TokenID) -> String? { withText(of: id) { String(decoding: $0, as: UTF8.self) } }

    /// The id of a token, by its text as the file writes it.
    public func id(of token: String) -> TokenID? { added.vocabulary.id(of: token) ?? vocabulary.id(of: token) }

    /// Whether a token is marked as special, such as the end of a text.
    public func isSpecial(_ id: TokenID) -> Bool { added.specialIDs.contains(id) }

    func withText<R>(of id: TokenID, _ body: (Bytes) -> R) -> R? {
        added.vocabulary.withText(of: id, body) ?? vocabulary.withText(of: id, body)
    }

    // MARK: Encoding

    /// Turns text into ids.
    ///
    /// - Parameter addSpecialTokens: whether what the file puts around a text (such as a token for its beginning) is added.
    public func encode(_ text: String, addSpecialTokens: Bool = true) -> [TokenID] {
        var text = text
        var ids = addSpecialTokens ? postProcessor.prefix : []
        text.withUTF8 { bytes in
            var space = TokenWorkspace()
            added.plain.split(bytes) { range, id in
                if id >= 0 { return ids.append(id) }
                encodeSection(Bytes(rebasing: bytes[range]), isAtStart: range.lowerBound == 0, &ids, &space)
            }
        }
        if addSpecialTokens { ids += postProcessor.suffix }
        return ids
    }

    /// Encodes a stretch of text between added tokens that are looked for in the text as it is.
    private func encodeSection(
        _ section: Bytes, isAtStart: Bool, _ ids: inout [TokenID], _ space: inout TokenWorkspace
    ) {
        var isAtStart = isAtStart
        let text = normalizer?.apply(to: Array(section), keepsStart: &isAtStart) ?? Array(section)
        if added.normalized.isEmpty { return encodePieces(of: text, isAtStart: isAtStart, &ids, &space) }
        text.withUnsafeBufferPointer { bytes in
            added.normalized.split(bytes) { range, id in
                if id >= 0 { return ids.append(id) }
                encodePieces(of: Array(bytes[range]), isAtStart: isAtStart && range.lowerBound == 0, &ids, &space)
            }
        }
    }

    private func encodePieces(
        of text: [UInt8], isAtStart: Bool, _ ids: inout [TokenID], _ space: inout TokenWorkspace
    ) {
        var cut = PreTokenizedText(text, isAtStart: isAtStart)
        preTokenizer?.apply(to: &cut)
        cut.bytes.withUnsafeBufferPointer { bytes in
            for piece in cut.pieces { model.encode(Bytes(rebasing: bytes[piece]), into: &ids, &space) }
        }
    }

    /// The pieces that a text without added tokens is cut into before the model sees it, as the model sees them.
    package func pieces(of text: String) -> [String] {
        let bytes = Array(text.utf8)
        var cut = PreTokenizedText(normalizer?.apply(to: bytes) ?? bytes, isAtStart: true)
        preTokenizer?.apply(to: &cut)
        return cut.pieces.map { String(decoding: cut.bytes[$0], as: UTF8.self) }
    }

    // MARK: Decoding

    /// Turns ids into text. Ids that no token has are left out.
    public func decode(_ ids: some Sequence<TokenID>, skipSpecialTokens: Bool = true) -> String {
        var decoder = makeStreamDecoder(skipSpecialTokens: skipSpecialTokens)
        for id in ids { decoder.feed(id) }
        decoder.flush()
        return decoder.takeOutput()
    }

    /// A decoder that takes tokens one at a time.
    ///
    /// - Parameter isContinuation: the tokens follow others whose text is known already, such as a prompt: what
    ///   happens at the start of a text only (dropping the first space) is not done.
    public func makeStreamDecoder(skipSpecialTokens: Bool = true, isContinuation: Bool = false) -> StreamDecoder {
        StreamDecoder(self, skipSpecialTokens: skipSpecialTokens, isContinuation: isContinuation)
    }
}

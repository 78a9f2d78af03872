// ModelTemplates: the chat templates of a model's folder and the special tokens they are given, found where
// transformers finds them.
// Owned by whoever loads a model; how a file is read is the caller's business, so a folder can be in the binary.
// Invariant: chat_template.jinja and additional_chat_templates/ win over what is inside of other files.

import SwiftletJSON

/// The chat templates of a model.
///
///     let templates = try ModelTemplates(name: "Qwen3-0.6B") { file in try contents(of: "models/Qwen3-0.6B/" + file) }
///     let text = try templates.template(forTools: false).render(
///         messages: [["role": "user", "content": "Hello"]], addGenerationPrompt: true,
///         variables: templates.specialTokens)
public struct ModelTemplates: Sendable {
    /// `bos_token`, `eos_token` and the other named special tokens, as a template sees them.
    public let specialTokens: [String: TemplateValue]
    private let templates: [String: Result<ChatTemplate, TemplateError>]
    private let name: String

    /// The special tokens that have a name for templates.
    private static let tokenNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]
    /// Where templates other than the default one lie.
    public static let additionalFolder = "additional_chat_templates"

    /// Reads a model's files.
    ///
    /// - Parameters:
    ///   - name: What messages call the model.
    ///   - additional: The names of the files in its folder `additional_chat_templates`.
    ///   - read: The contents of a file, by its path in the model's folder; nil if there is none.
    /// - Throws: ``TemplateError`` for a file that is not what it should be; a model without templates is no error yet.
    public init(
        name: String, additional: [String] = [], read: (String) throws(TemplateError) -> [UInt8]?
    ) throws(TemplateError) {
        self.name = name
        let config = try Self.object("tokenizer_config.json", read)
        let map = try Self.object("special_tokens_map.json", read)
        var tokens: [String: TemplateValue] = [:]
        for token in Self.tokenNames {
            let value = config?[token] ?? map?[token]
            // A token is a string, or an object with its content.
            if let text = value?.string ?? value?["content"]?.string { tokens[token] = .string(text) }
        }
        specialTokens = tokens
        var sources: [String: String] = [:]
        if let bytes = try read("chat_template.jinja") { sources["default"] = String(decoding: bytes, as: UTF8.self) }
        for file in additional.sorted() where file.hasSuffix(".jinja") {
            guard let bytes = try read(Self.additionalFolder + "/" + file) else { continue }
            sources[String(file.dropLast(".jinja".utf8.count))] = String(decoding: bytes, as: UTF8.self)
        }
        if sources.isEmpty {
            let legacy = try Self.object("chat_template.json", read)?["chat_template"]
            sources = try Self.sources(legacy ?? config?["chat_template"], name)
        }
        templates = sources.mapValues { source in
            Result { () throws(TemplateError) in try ChatTemplate(source) }
        }
    }

    /// A file's object; nil if there is no file.
    private static func object(
        _ file: String, _ read: (String) throws(TemplateError) -> [UInt8]?
    ) throws(TemplateError) -> JSONValue? {
        guard let bytes = try read(file) else { return nil }
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes).root
        } catch {
            throw TemplateError(.invalidInput, "\(file) is not valid JSON: \(error)")
        }
        guard root.kind == .object else { throw TemplateError(.invalidInput, "\(file) holds no JSON object") }
        return root
    }

    /// One template, or several as a list of objects with a name each.
    private static func sources(_ value: JSONValue?, _ name: String) throws(TemplateError) -> [String: String] {
        guard let value, !value.isNull else { return [:] }
        if let text = value.string { return ["default": text] }
        var sources: [String: String] = [:]
        for element in value.elements {
            guard let key = element["name"]?.string, let text = element["template"]?.string else {
                throw TemplateError(
                    .invalidInput, "\(name): chat_template is a list, and an entry has no \"name\" or no \"template\"")
            }
            sources[key] = text
        }
        guard value.kind == .array else {
            throw TemplateError(.invalidInput, "\(name): chat_template is neither a string nor a list")
        }
        return sources
    }

    /// Whether there is any template.
    public var isEmpty: Bool { templates.isEmpty }

    /// The template for a conversation: of several, `tool_use` when there are tools, else `default`.
    ///
    /// - Throws: ``TemplateError`` when there is none, none of those, or the one chosen is not valid.
    public func template(forTools hasTools: Bool) throws(TemplateError) -> ChatTemplate {
        guard !templates.isEmpty else {
            throw TemplateError(
                .missingTemplate,
                "\(name) has no chat template: no chat_template.jinja, no chat_template.json and no \"chat_template\" "
                    + "in tokenizer_config.json. A base model has none; give it a template of your own or complete "
                    + "plain prompts")
        }
        guard let template = (hasTools ? templates["tool_use"] : nil) ?? templates["default"] else {
            let known = templates.keys.sorted().joined(separator: ", ")
            throw TemplateError(
                .missingTemplate, "\(name) has several chat templates and none is the default: \(known)")
        }
        return try template.get()
    }
}

// Where a model's template is found, which of several is taken, and what it is given for special tokens.

import SwiftletTemplate
import Testing

@Suite("A model's templates")
struct ModelTemplatesTests {
    private func templates(_ files: [String: String]) throws(TemplateError) -> ModelTemplates {
        let folder = ModelTemplates.additionalFolder + "/"
        let additional = files.keys.filter { $0.hasPrefix(folder) }.map { String($0.dropFirst(folder.count)) }
        return try ModelTemplates(name: "M", additional: additional) { file in files[file].map { Array($0.utf8) } }
    }

    private func text(_ files: [String: String], forTools: Bool = false) throws -> String {
        let templates = try templates(files)
        return try templates.template(forTools: forTools).render(messages: [], variables: templates.specialTokens)
    }

    @Test("chat_template.jinja wins over chat_template.json, and that over tokenizer_config.json")
    func precedence() throws {
        var files = ["tokenizer_config.json": #"{"chat_template": "config"}"#]
        #expect(try text(files) == "config")
        files["chat_template.json"] = #"{"chat_template": "json"}"#
        #expect(try text(files) == "json")
        files["chat_template.jinja"] = "jinja\n"
        #expect(try text(files) == "jinja")
    }

    @Test("Of several templates tool_use is for tools and default for the rest")
    func named() throws {
        let list = #"{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]}"#
        #expect(try text(["tokenizer_config.json": list]) == "D")
        #expect(try text(["tokenizer_config.json": list], forTools: true) == "T")
        let folder = ["chat_template.jinja": "D", "additional_chat_templates/tool_use.jinja": "T"]
        #expect(try text(folder) == "D")
        #expect(try text(folder, forTools: true) == "T")
        let other = try templates(["additional_chat_templates/rag.jinja": "R"])
        #expect(throws: TemplateError(.missingTemplate, "M has several chat templates and none is the default: rag")) {
            try other.template(forTools: true)
        }
    }

    @Test("Special tokens are strings or objects, and come from special_tokens_map.json when nothing else has them")
    func specialTokens() throws {
        let files = [
            "tokenizer_config.json":
                #"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": null, "pad_token": "P"}"#,
            "special_tokens_map.json": #"{"eos_token": {"content": "</s>"}, "pad_token": "Q"}"#,
            "chat_template.jinja": "{{ bos_token }}{{ pad_token }}{{ unk_token is defined }}{{ eos_token is defined }}",
        ]
        #expect(try text(files) == "<s>PFalseFalse")
        let onlyMap = [
            "special_tokens_map.json": #"{"eos_token": {"content": "</s>"}}"#, "chat_template.jinja": "{{ eos_token }}",
        ]
        #expect(try text(onlyMap) == "</s>")
    }

    @Test("A folder without a template says so when one is needed")
    func missing() throws {
        let none = try templates(["tokenizer_config.json": "{}"])
        #expect(none.isEmpty)
        let error = #expect(throws: TemplateError.self) { try none.template(forTools: false) }
        #expect(error?.code == .missingTemplate && error?.message.contains("has no chat template") == true)
    }

    @Test("A template that is not valid is refused when it is used, and files that are no JSON at once")
    func invalid() throws {
        let bad = try templates(["chat_template.jinja": "{% if %}"])
        #expect(throws: TemplateError.self) { try bad.template(forTools: false) }
        #expect(throws: TemplateError.self) { try templates(["tokenizer_config.json": "{"]) }
        #expect(throws: TemplateError.self) {
            try templates(["tokenizer_config.json": #"{"chat_template": [{"name": "x"}]}"#])
        }
    }

    @Test("A message's reasoning is there under each of its names")
    func reasoning() throws {
        let template = try ChatTemplate(
            "{{ messages[0].reasoning_content }}{{ messages[0].thinking }}{{ messages[1].thinking is defined }}")
        for key in ["reasoning_content", "thinking", "reasoning"] {
            let message = TemplateValue.object([.init("role", "assistant"), .init(key, "R")])
            #expect(try template.render(messages: [message, ["role": "user"]]) == "RRFalse")
        }
        #expect(throws: TemplateError.self) { try template.render(messages: ["text"]) }
    }
}

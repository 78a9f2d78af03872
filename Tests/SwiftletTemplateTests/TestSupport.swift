// What the tests of this target share: lines of test sets, rendered.
// Owned by this test target.

import SwiftletJSON
import SwiftletTemplate
import SwiftletTestSupport

/// A line of a test set: a template's input and what the reference makes of it.
struct TemplateCase {
    let line: JSONValue
    /// What lines that don't say otherwise share.
    var shared: JSONValue?

    private func value(_ key: String) -> JSONValue? { line[key] ?? shared?[key] }

    private func list(_ key: String) -> [TemplateValue]? {
        guard case .array(let values)? = value(key).map({ TemplateValue($0) }) else { return nil }
        return values
    }

    /// The text, or what is thrown.
    func render(_ template: ChatTemplate) throws(TemplateError) -> String {
        var variables: [String: TemplateValue] = [:]
        for (key, value) in value("kwargs")?.members.map({ $0 }) ?? [] { variables[key] = TemplateValue(value) }
        for key in ["bos_token", "eos_token"] { if let token = value(key)?.string { variables[key] = .string(token) } }
        return try template.render(
            messages: list("messages") ?? [], tools: list("tools"), documents: list("documents"),
            addGenerationPrompt: value("add_generation_prompt")?.bool ?? false, variables: variables,
            now: value("now")?.string.flatMap { LocalTime($0) })
    }
}

func jsonLines(_ path: String) throws -> [JSONValue] {
    try (readFile(path) ?? []).split(separator: UInt8(ascii: "\n")).map { try JSONDocument(parsing: Array($0)).root }
}

/// Scalars, not characters: canonically equivalent texts are different here.
func same(_ left: String?, _ right: String?) -> Bool {
    guard let left, let right else { return left == nil && right == nil }
    return left.utf8.elementsEqual(right.utf8)
}

/// Renders a template with variables only; an error as its message.
func rendered(_ source: String, _ variables: [String: TemplateValue] = [:]) throws(TemplateError) -> String {
    try ChatTemplate(source).render(messages: [], variables: variables)
}

/// The error of a template that can't be parsed or rendered.
func failure(_ source: String, _ variables: [String: TemplateValue] = [:]) -> TemplateError? {
    do throws(TemplateError) {
        _ = try rendered(source, variables)
        return nil
    } catch {
        return error
    }
}

// Small templates for every feature against what transformers made of them (Tools/fixtures/make_templates.py).
// Invariant: what fails there fails here; what a template says itself (raise_exception) is the same word for word.

import SwiftletJSON
import SwiftletTemplate
import SwiftletTestSupport
import Testing

@Suite("Kept outputs of transformers")
struct FixtureTests {
    @Test("Every template gives the same text, or fails where transformers fails")
    func matchesTheReference() throws {
        let lines = try jsonLines(TestFiles.package + "/Tests/Fixtures/templates.jsonl")
        #expect(lines.count > 160)
        for line in lines.dropFirst() {
            let source = line["template"]?.string ?? ""
            do throws(TemplateError) {
                let text = try TemplateCase(line: line, shared: lines[0]).render(try ChatTemplate(source))
                #expect(same(text, line["text"]?.string), "\(source)")
            } catch {
                #expect(line["text"] == nil, "\(source): \(error)")
                #expect((line["raised"]?.bool ?? false) == (error.code == .raised), "\(source): \(error)")
                if error.code == .raised { #expect(same(error.message, line["error"]?.string), "\(source)") }
            }
        }
    }

    @Test("What the assistant says is marked where the template's generation tags are")
    func generationRanges() throws {
        let template = try ChatTemplate(
            "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
                + "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}")
        let rendering = try template.rendering(messages: [
            ["role": "user", "content": "é?"], ["role": "assistant", "content": "One"],
            ["role": "assistant", "content": "Two"],
        ])
        let said = rendering.assistantRanges.map { String(decoding: Array(rendering.text.utf8)[$0], as: UTF8.self) }
        #expect(said == ["One", "Two"])
    }

    @Test("An object's keys keep the order of the JSON text, and the last of two values counts")
    func keyOrder() throws {
        let value = try TemplateValue(json: Array(#"{"z": 1, "a": {"y": 2, "b": 3}, "z": 4, "m": 1e3}"#.utf8))
        #expect(
            try rendered("{{ v|tojson }} {{ v }}", ["v": value])
                == #"{"z": 4, "a": {"y": 2, "b": 3}, "m": 1000.0} {'z': 4, 'a': {'y': 2, 'b': 3}, 'm': 1000.0}"#)
    }

    @Test("Without a clock of the caller's the system's is used")
    func systemClock() throws {
        let year = try #require(Int(try rendered("{{ strftime_now('%Y') }}")))
        #expect((2024...2200).contains(year))
    }

    @Test(
        "Dates that don't exist are refused",
        arguments: ["2025-02-29", "2025-13-01", "2025-1-1", "x", "2025-01-01T24:00:00"])
    func badTimes(text: String) { #expect(LocalTime(text) == nil) }
}

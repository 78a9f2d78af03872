// Real chat templates against what transformers renders with them, line for line.
// Owned by this test target; skipped where the golden folder is absent.
// Invariant: every line of golden.jsonl is checked.

import SwiftletJSON
import SwiftletTemplate
import SwiftletTestSupport
import Testing

@Suite(
    "Published chat templates",
    .enabled(
        if: TestFiles.golden.map { TestFiles.exists($0 + "/templates/golden.jsonl") } ?? false,
        "golden folder not found: set SWIFTLET_SHARED"))
struct GoldenTests {
    @Test("Every line is rendered as transformers renders it, and what it refuses is refused in the same words")
    func matchesTheReference() throws {
        let folder = try #require(TestFiles.golden) + "/templates"
        var templates: [String: ChatTemplate] = [:]
        let lines = try jsonLines(folder + "/golden.jsonl")
        #expect(lines.count > 2_000)
        for line in lines {
            let name = line["template"]?.string ?? ""
            let place: Comment = "\(name), \(line["case"]?.string ?? "")"
            do throws(TemplateError) {
                if templates[name] == nil {
                    let source = String(decoding: readFile("\(folder)/\(name).jinja") ?? [], as: UTF8.self)
                    templates[name] = try ChatTemplate(source)
                }
                let text = try templates[name].map { template throws(TemplateError) in
                    try TemplateCase(line: line).render(template)
                }
                #expect(same(text, line["expected"]?.string), place)
            } catch {
                #expect(line["expected"] == nil, "\(place): \(error)")
                // The template's own words; Python's are not asked for.
                let isRaised = line["error_type"]?.string == "TemplateError"
                #expect(isRaised == (error.code == .raised), place)
                if isRaised { #expect(same(error.message, line["error"]?.string), place) }
            }
        }
    }
}

// Templates that mean harm: they end with an error that says which limit they reached, in little time and memory.
// Also the fuzzer of the parser and the renderer.

import SwiftletJSON
import SwiftletTemplate
import SwiftletTestSupport
import Testing

@Suite("Hostile templates")
struct LimitTests {
    static let hostile = [
        // Time.
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{{ m(n - 1) if n else '' }}{{ m(n - 1) if n else '' }}{% endmacro %}{{ m(60) }}",
        "{% for a in range(100000) %}{% for b in range(100000)|map('string')|select('eq', 'x') %}{% endfor %}{% endfor %}",
        // Memory.
        "{{ 'x' * 10 ** 12 }}", "{{ [0] * 10 ** 12 }}", "{{ '%1000000000d' % 1 }}",
        "{{ '{:>2000000000}'.format(1) }}",
        "{{ 'x'|center(10 ** 12) }}", "{{ 'a\\nb'|indent(10 ** 12) }}", "{{ [1]|batch(10 ** 12, 0)|list }}",
        "{{ ('a' * 50000)|replace('', 'b' * 50000) }}", "{{ [1]|slice(10 ** 12)|list }}", "{{ 'x'.ljust(10 ** 15) }}",
        "{{ '\\t'.expandtabs(10 ** 12) }}", "{{ 'x'.zfill(10 ** 14) }}", "{{ [1]|tojson(indent=10 ** 12) }}",
        "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == ns.l|tojson }}",
        "{% for a in range(100000) %}{{ 'xxxxxxxxxx' * 1000 }}{% endfor %}", "{{ range(10 ** 9) }}",
        // Depth.
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(10000) %}{% set ns.l = [ns.l] %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x|string }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{{ caller() }}{% endmacro %}{% call m() %}{% endcall %}",
        "{% set ns = namespace(c=1) %}{% for i in range(10000) %}{% set ns.c = cycler(ns.c) %}{% endfor %}",
        "{% set ns = namespace(c=1) %}{% for i in range(10000) %}{% set ns.c = 'a'|map('default', ns.c) %}{% endfor %}",
        "{% set ns = namespace(c=1) %}{% for i in range(10000) %}{% set ns.c = [ns.c].copy %}{% endfor %}",
        "{% set ns = namespace(g=[1]) %}{% for i in range(10000) %}{% set ns.g = ns.g|map('string') %}{% endfor %}{{ ns.g|list }}",
        String(repeating: "(", count: 10_000), String(repeating: "{% if 1 %}", count: 10_000),
        "{{ " + String(repeating: "[", count: 5_000) + String(repeating: "]", count: 5_000) + " }}",
        "{{ " + String(repeating: "-", count: 10_000) + "1 }}",
        "{{ 1" + String(repeating: " + 1", count: 10_000) + " }}",
        "{{ x" + String(repeating: ".x", count: 10_000) + " }}",
        "{{ x" + String(repeating: "|e", count: 10_000) + " }}",
        "{{ " + String(repeating: "not ", count: 10_000) + "1 }}",
        (0..<5_000).map { "{{ n\($0) }}" }.joined(),
    ]

    @Test("A template that takes too much ends with the limit that it reached")
    func endless() async throws {
        try await twoAtATime(Self.hostile) { template in
            let source = template.hasPrefix("(") ? "{{ \(template)" : template
            let start = ContinuousClock.now
            let error = try #require(failure(source))
            #expect([.limit, .type].contains(error.code), "\(source.prefix(80)): \(error)")
            #expect(
                error.message.contains("limit") || error.message.contains("MAX_RANGE"),
                "\(source.prefix(80)): \(error)")
            #expect(error.line == 1 || error.message.contains("names"))
            #expect(ContinuousClock.now - start < .seconds(60), "\(source.prefix(80))")
        }
    }

    @Test("Namespaces that refer to themselves are let go of")
    func cycles() throws {
        #expect(
            try rendered(
                "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{{ a.b.a.b.a is sameas a }}")
                == "True")
    }

    @Test("Limits can be set, and are said")
    func ownLimits() throws {
        func message(_ source: String, _ limits: ChatTemplate.Limits) -> String {
            do throws(TemplateError) {
                return try ChatTemplate(source, limits: limits).render(messages: [])
            } catch {
                return error.message
            }
        }
        #expect(message("{% for i in range(100) %}{{ i }}{% endfor %}", .init(steps: 50)).contains("50 steps"))
        #expect(message("{{ 'x' * 100 }}", .init(bytes: 99)).contains("99 bytes"))
        #expect(message("{{ 'x' * 100 }}", .init(outputBytes: 10)).contains("10 bytes"))
        #expect(message("{{ range(11) }}", .init(range: 10)).contains("(10)"))
        #expect(message("{{ [[[[[1]]]]] }}", .init(depth: 4)).contains("limit of 4"))
        #expect(throws: TemplateError.self) {
            try ChatTemplate(String(repeating: "x", count: ChatTemplate.maximumByteCount + 1))
        }
    }

    static let pieces = [
        "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", "~", "**", "//", "%", "|", "(", ")", "[", "]", "{", "}", ",", ".",
        ":",
        "=", "==", "<", " in ", " is ", " not ", " and ", " if ", " else ", "{% for x in l %}", "{% endfor %}",
        "{% if x %}",
        "{% endif %}", "{% set x = ", "{% macro m(x) %}", "{% endmacro %}", "{{ m(x) }}", "{% call m(1) %}",
        "{% endcall %}",
        "loop.index", "loop(", "|tojson", "|join", "|map(", "|sort", "|default(", "namespace(", "range(", "'a%sé'",
        "\"{}\"",
        ".format(", ".split(", ".items()", "x", "l", "d", "1", "0", "-7", "2.5", "none", "true", "[1, 'a']", "{'k': x}",
        "{% raw %}", "{% endraw %}", "recursive", "{% break %}", "{% generation %}", "{% endgeneration %}", "[::-1]",
        "|batch(", "|indent(", "|wordwrap(", "|pprint", "|round(", "|groupby(", "|urlencode", "strftime_now(",
        "|format(",
        "{% filter upper %}", "{% endfilter %}", "{% with x = 1 %}", "{% endwith %}", "\n", "  ",
    ]

    @Test("No mutation of a template crashes or hangs", .timeLimit(.minutes(FuzzRun.limitInMinutes)))
    func mutatedTemplatesNeverCrash() throws {
        let lines = try jsonLines(TestFiles.package + "/Tests/Fixtures/templates.jsonl").dropFirst()
        let seeds = lines.compactMap { $0["template"]?.stringBytes }
        let run = FuzzRun(seconds: 4, seed: 20_261_128)
        var random = SeededGenerator(seed: run.seed)
        let limits = ChatTemplate.Limits(steps: 20_000, bytes: 1 << 22, outputBytes: 1 << 20)
        let variables: [String: TemplateValue] = [
            "l": [3, "a", nil, 1.5], "d": ["a": 1, "b": [1]], "s": "Hé llo-wörld", "n": 42, "x": "x",
        ]
        var (parsed, rendered, rounds) = (0, 0, 0)
        while run.goesOn {
            rounds += 1
            var bytes = seeds.randomElement(using: &random) ?? []
            if rounds % 2 == 0 {
                bytes = mutated(bytes, using: &random)
            } else {
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    let piece = Array((Self.pieces.randomElement(using: &random) ?? "").utf8)
                    bytes.insert(contentsOf: piece, at: Int.random(in: 0...bytes.count, using: &random))
                }
            }
            do throws(TemplateError) {
                let template = try ChatTemplate(String(decoding: bytes, as: UTF8.self), limits: limits)
                parsed += 1
                _ = try template.render(
                    messages: [["role": "user", "content": "hi"]], variables: variables, now: LocalTime("2025-03-07"))
                rendered += 1
            } catch {
                #expect(!error.message.isEmpty || error.code == .raised, "round \(rounds), seed \(run.seed)")
            }
        }
        #expect(parsed > 100 && rendered > 50, "parsed \(parsed), rendered \(rendered) of \(rounds)")
    }
}

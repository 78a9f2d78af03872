// How long templates take, for Tools/templates/measure; nothing in a test run.

import SwiftletTemplate
import SwiftletTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

@Suite("Measurement")
struct MeasureTests {
    static let files: [String] =
        getenv("SWIFTLET_MEASURE_TEMPLATES").map { String(cString: $0).split(separator: ":").map(String.init) } ?? []

    @Test("A conversation of 100 turns", .enabled(if: !files.isEmpty, "Tools/templates/measure runs this"))
    func measure() throws {
        let turns = (0..<100).map { turn -> TemplateValue in
            let content = String(repeating: "The sky is blue, and a page is a block of memory. ", count: 8)
            return ["role": turn % 2 == 0 ? "user" : "assistant", "content": .string("\(turn): \(content)")]
        }
        for file in Self.files {
            let source = String(decoding: readFile(file) ?? [], as: UTF8.self)
            let template = try ChatTemplate(source)
            let parsing = try best { _ = try ChatTemplate(source) }
            var bytes = 0
            let rendering = try best {
                bytes = try template.render(
                    messages: turns, addGenerationPrompt: true, variables: ["bos_token": "<s>", "eos_token": "</s>"]
                ).utf8.count
            }
            print("\(file): parsed in \(parsing), 100 turns in \(rendering), \(bytes) bytes")
        }
    }

    private func best(_ body: () throws -> Void) rethrows -> Duration {
        var best = Duration.seconds(1_000)
        for _ in 0..<50 { best = min(best, try ContinuousClock().measure(body)) }
        return best
    }
}

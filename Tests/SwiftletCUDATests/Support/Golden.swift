// Outputs of Hugging Face transformers that models on the emulated GPU are held against: those of the shared folder, and
// the fixtures of this package.

import Swiftlet
import SwiftletJSON
import SwiftletTestSupport
import SwiftletTokenizer
import Synchronization
import Testing

enum Golden {
    static let missing = "reference outputs are not here (../shared/golden, or the folder SWIFTLET_SHARED names)"
    static var isHere: Bool { TestFiles.golden != nil }
    static func model(_ name: String) -> String { TestFiles.golden! + "/models/" + name }
    static func fixture(_ name: String) -> String { TestFiles.package + "/Tests/Fixtures/models/" + name }

    private static func cases(_ folder: String) throws -> [JSONValue] {
        let bytes = try Platform.readFile(folder + "/golden.json", limit: 64 << 20)
        return Array(try JSONDocument(parsing: bytes).root["cases"]!.elements)
    }

    /// Runs a folder's shortest prompts: the logits of the prefill, and the tokens of the decodes after it as long as
    /// they were clear.
    ///
    /// - Parameter margin: By how much a logit has to be the largest, for logits as large as this.
    static func check(
        _ folder: String, _ config: EngineConfig, logits tolerance: Double, margin: (Float) -> Double,
        cases count: Int = 2
    ) throws {
        let cases = try cases(folder).sorted { $0["prompt_ids"]!.count < $1["prompt_ids"]!.count }.prefix(count)
        let recorder = Recorder()
        try Emulated.run(folder, config, processors: [recorder]) { engine in
            for testCase in cases {
                recorder.rows.withLock { $0 = [] }
                let output = engine.submit(testCase["prompt_ids"]!.ids, .greedy(4)).output
                try engine.finish()
                let expected = testCase["last_logits"]!.floats
                #expect(distance(recorder.taken[0], expected) < tolerance)
                let largest = expected.map { abs($0) }.max()!
                for (step, greedy) in testCase["greedy"]!.elements.prefix(4).enumerated() {
                    guard greedy["margin"]!.double! > margin(largest) else { break }
                    #expect(output.tokens[0][step] == TokenID(greedy["id"]!.int!))
                }
            }
        }
    }
}

extension JSONValue {
    var ids: [TokenID] { elements.map { TokenID($0.int!) } }
    var floats: [Float] { elements.map { Float($0.double!) } }
}

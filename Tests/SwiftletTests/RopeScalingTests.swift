// RopeScaling and RopeTable against values that Hugging Face transformers computed (Tests/Fixtures/rope.json, made by
// Tools/fixtures/make_rope.py), and the descriptions that must be refused.

import Foundation
import Swiftlet
import SwiftletJSON
import Testing

@Suite struct RopeScalingTests {
    private func close(_ value: Float, _ expected: Float, _ tolerance: Float) -> Bool {
        abs(value - expected) <= tolerance
    }

    @Test func matchesTheReference() throws {
        let fixture = LoaderFixtures.package.appendingPathComponent("Tests/Fixtures/rope.json")
        let document = try JSONDocument(parsing: Array(Data(contentsOf: fixture)))
        #expect(document.root.count == 10)
        for entry in document.root.elements {
            let name = try #require(entry["name"]?.string)
            let config = try ModelConfig(config: Array(#require(entry["config"]).bytes))
            let length = try #require(entry["length"]?.int)
            #expect(config.headDimension == entry["head_dim"]?.int, "\(name)")

            let floats = { (value: JSONValue?) in (value?.elements.map { Float($0.double ?? .nan) }) ?? [] }
            let inverse = floats(entry["inverse"])
            let computed = config.rope.frequencies(rotaryDimension: config.headDimension, maximumLength: length)
            #expect(computed.inverse.count == inverse.count, "\(name)")
            for (pair, (value, expected)) in zip(computed.inverse, inverse).enumerated() {
                // torch's power function is off by a unit in the last place here and there.
                #expect(close(value, expected, expected * 4e-7), "\(name), pair \(pair): \(value), not \(expected)")
            }
            let factor = try #require(entry["attention_factor"]?.double)
            #expect(close(computed.attentionFactor, Float(factor), 1e-6), "\(name)")

            let table = RopeTable(config.rope, rotaryDimension: config.headDimension, positionCount: length)
            let half = config.headDimension / 2
            for (index, position) in (entry["positions"]?.elements.compactMap(\.int) ?? []).enumerated() {
                let row = table.values[position * table.rotaryDimension..<(position + 1) * table.rotaryDimension]
                let expected = floats(entry["cos"]?[index]) + floats(entry["sin"]?[index])
                #expect(expected.count == 2 * half, "\(name)")
                // One unit in the last place of a frequency turns the angle by position * 6e-8.
                let tolerance = 2e-6 + Float(position) * 1.2e-7
                for (value, wanted) in zip(row, expected) {
                    #expect(close(value, wanted, tolerance), "\(name), position \(position): \(value), not \(wanted)")
                }
            }
        }
    }

    @Test func tablesHaveTheStatedShape() {
        let scaling = RopeScaling(theta: 10_000, kind: .standard, trainedLength: 16)
        let table = RopeTable(scaling, rotaryDimension: 8, positionCount: 5)
        #expect(table.values.count == 40 && table.positionCount == 5)
        #expect(table.values.prefix(8) == [1, 1, 1, 1, 0, 0, 0, 0])
        // theta^(-2/8) = 0.1: position 3 turns the second pair by 0.3.
        #expect(close(table.values[3 * 8 + 1], 0.955_336_5, 1e-6) && close(table.values[3 * 8 + 5], 0.295_520_2, 1e-6))
    }

    @Test func cosineAndSineAreExactEnoughForFloat() {
        var random = LoaderRandom(seed: 20_261_125)
        var angles = [0, 1, 0.5, 1e-30, Float.pi / 4, Float.pi / 2, Float.pi, 16_777_216].flatMap { [$0, $0.nextUp] }
        for _ in 0..<200_000 {
            angles.append(Float.random(in: 0...16_777_216, using: &random))
            angles.append(Float.random(in: 0...10, using: &random))
        }
        var worst = 0.0
        for angle in angles {
            let (cosine, sine) = RopeTable.circle(Double(angle))
            worst = max(worst, abs(cosine - cos(Double(angle))), abs(sine - sin(Double(angle))))
        }
        #expect(worst < 1e-13, "the worst error is \(worst)")
    }

    private func rope(_ members: String) throws -> RopeScaling {
        try ModelConfig(config: ModelConfigTests.llama(members)).rope
    }

    @Test func bothFormsGiveTheSame() throws {
        let old = try rope(#""rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}"#)
        let new = try rope(#""rope_parameters": {"rope_theta": 500000.0, "rope_type": "linear", "factor": 2.0}"#)
        #expect(old == new && old.theta == 500_000 && old.kind == .linear(factor: 2))
        #expect(try rope("").theta == 10_000)
        #expect(try rope(#""rope_theta": 7.0, "rope_scaling": null"#).kind == .standard)
        #expect(try rope(#""rope_parameters": {"rope_theta": 9, "rope_type": "default"}"#).theta == 9)
    }

    @Test func maximumLengthIsVLLMs() throws {
        #expect(try rope("").maximumLength == 512)
        #expect(try rope(#""rope_scaling": {"type": "linear", "factor": 2.5}"#).maximumLength == 1280)
        #expect(try rope(#""rope_scaling": {"type": "dynamic", "factor": 4}"#).maximumLength == 2048)
        let yarn = #""rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 256}"#
        #expect(try rope(yarn).maximumLength == 1024)
        let llama3 =
            #""rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "#
            + #""original_max_position_embeddings": 64}"#
        #expect(try rope(llama3).maximumLength == 512)
        #expect(try rope(#""rope_scaling": {"type": "linear", "factor": 1000000}"#).maximumLength == 1 << 24)
    }

    @Test(arguments: [
        (
            #"{"type": "ntk", "factor": 2}"#,
            "rope type ntk is not supported (supported: default, linear, dynamic, llama3, yarn, longrope)"
        ),
        (#"{"rope_type": "mrope"}"#, "rope type mrope is not supported"),
        (#"{"rope_type": "default", "mrope_section": [1, 2]}"#, "rope_scaling: the key mrope_section is not supported"),
        (#"{"type": "dynamic", "alpha": 1000}"#, "rope_scaling: the key alpha is not supported"),
        (#"{"full_attention": {"rope_type": "default"}}"#, "a rope of its own for full_attention is not supported"),
        (#"{"type": "linear"}"#, "rope_scaling: factor is missing"),
        (#"{"type": "longrope", "factor": 2}"#, "rope_scaling: short_factor is missing"),
        (#"{"type": "linear", "factor": 0.5}"#, "factor is 0.5; it must be a number, 1 or more"),
        (#"{"type": "linear", "factor": "2"}"#, "factor is \"2\"; it must be a number, 1 or more"),
        (#"{"type": "linear", "factor": 1e999}"#, "factor is 1e999; it must be a number, 1 or more"),
        (#"{"rope_type": "llama3", "factor": 8}"#, "low_freq_factor or high_freq_factor is missing"),
        (
            #"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}"#,
            "low_freq_factor 4.0 must be less than high_freq_factor 4.0"
        ),
        (
            #"{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 0}"#,
            "original_max_position_embeddings is 0"
        ),
        (#"{"rope_type": "default", "rope_theta": -1}"#, "rope_theta is -1; it must be a number above 1"),
        (#"{"rope_type": "default", "partial_rotary_factor": 0.5}"#, "partial_rotary_factor 0.5 is not supported"),
        (#"{"rope_type": 3}"#, "rope_type is 3; it must be a string"),
        (#"[1]"#, "rope_scaling is [1]; it must be an object"),
    ])
    func pitfallA29UnknownRopeIsAnError(scaling: String, expected: String) {
        let message = LoaderFixtures.message { _ = try rope("\"rope_scaling\": \(scaling)") }
        #expect(message?.contains(expected) == true, "\(message ?? "accepted")")
    }

    @Test func extremeYarnStaysFinite() throws {
        for members in [
            #""factor": 1, "original_max_position_embeddings": 1"#,
            #""factor": 1000000, "original_max_position_embeddings": 1, "beta_fast": 1000000, "beta_slow": 1000000"#,
            #""factor": 2, "beta_fast": 1e-300, "beta_slow": 0, "attention_factor": 0"#,
            #""factor": 4, "mscale": 0, "mscale_all_dim": 1, "truncate": false"#,
        ] {
            for theta in ["1.0000001", "1e30"] {
                let scaling = try rope(#""rope_theta": \#(theta), "rope_scaling": {"type": "yarn", \#(members)}"#)
                let (inverse, factor) = scaling.frequencies(rotaryDimension: 64, maximumLength: 100)
                #expect(inverse.allSatisfy(\.isFinite) && factor.isFinite, "\(members), theta \(theta)")
            }
        }
    }
}

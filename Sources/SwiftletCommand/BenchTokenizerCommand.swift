// `swiftlet bench tokenizer`: how fast a tokenizer loads, encodes and decodes, on one core.
// The table (or JSON) goes to standard output.
// Invariant: each time is the shortest of the repeats; the texts are the same for every tokenizer.

package import ArgumentParser
import Swiftlet
import SwiftletJSON
import SwiftletTokenizer

package struct BenchTokenizerCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "tokenizer",
        abstract: "Measure how fast a tokenizer loads, encodes and decodes, on one core.",
        discussion: """
            Measures the files given, and texts without a place to cut them at 250 KB and 1 MB: their rates should be \
            about the same at both sizes. Benchmarks/tokenizer.py compares with Hugging Face's library on the same \
            files.
            """)

    @Argument(help: "Text files to measure.")
    package var files: [String] = []

    @OptionGroup package var source: TokenizerOptions

    @Option(help: ArgumentHelp("How often each is done; the shortest time counts.", valueName: "count"))
    package var repeats = 3

    @Flag(help: "Print JSON.")
    package var json = false

    package init() {}

    package func validate() throws {
        guard (1...1000).contains(repeats) else { throw ValidationError("--repeats is from 1 to 1000.") }
    }

    private struct Row {
        var name: String
        var byteCount: Int
        var tokenCount: Int
        var encodeSeconds: Double
        var decodeSeconds: Double
    }

    package mutating func run() async throws {
        let texts = try files.map { path in
            guard let text = String(validating: try Platform.readFile(path, limit: 256 << 20), as: UTF8.self) else {
                throw LLMError(.invalidRequest, "\(path) is not UTF-8")
            }
            return (name: path, text: text)
        }
        let folder = try await source.folder()
        var tokenizer = try TokenizerFiles.load(folder)
        var loadSeconds = Double.infinity
        for _ in 0..<repeats {
            loadSeconds = min(
                loadSeconds, try ContinuousClock().measure { tokenizer = try TokenizerFiles.load(folder) }.inSeconds)
        }
        let rows = (texts + Self.unbrokenTexts).map { measure($0.name, $0.text, tokenizer) }
        if json {
            try File.standardOutput.write(Self.json(tokenizer, loadSeconds, rows))
        } else {
            try File.standardOutput.write(Array(Self.text(tokenizer, loadSeconds, rows).utf8))
        }
    }

    private func measure(_ name: String, _ text: String, _ tokenizer: Tokenizer) -> Row {
        var row = Row(
            name: name, byteCount: text.utf8.count, tokenCount: 0, encodeSeconds: .infinity, decodeSeconds: .infinity)
        let clock = ContinuousClock()
        var ids: [TokenID] = []
        for _ in 0..<repeats {
            let encode = clock.measure { ids = tokenizer.encode(text, addSpecialTokens: false) }
            var decoded = 0
            let decode = clock.measure { decoded = tokenizer.decode(ids).utf8.count }
            precondition(decoded >= 0)
            row.encodeSeconds = min(row.encodeSeconds, encode.inSeconds)
            row.decodeSeconds = min(row.decodeSeconds, decode.inSeconds)
        }
        row.tokenCount = ids.count
        return row
    }

    // MARK: Texts without a place to cut

    private static var unbrokenTexts: [(name: String, text: String)] {
        let kinds: [(name: String, scalars: ClosedRange<UInt32>)] = [
            ("one letter", 0x61...0x61), ("random letters", 0x61...0x7A), ("random digits", 0x30...0x39),
            ("random ideographs", 0x4E00...0x5FFF), ("spaces", 0x20...0x20), ("random punctuation", 0x21...0x2F),
        ]
        return kinds.flatMap { kind in
            [250_000, 1_000_000].map { size in
                ("\(Format.count(size / 1000)) KB of \(kind.name)", text(of: kind.scalars, byteCount: size))
            }
        }
    }

    /// So many bytes of random scalars, the same every time.
    private static func text(of range: ClosedRange<UInt32>, byteCount: Int) -> String {
        var state: UInt64 = 1
        var text = ""
        text.reserveCapacity(byteCount)
        let width = range.lowerBound < 0x80 ? 1 : 3
        for _ in 0..<byteCount / width {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let offset = UInt32(truncatingIfNeeded: state >> 33) % UInt32(range.count)
            if let scalar = Unicode.Scalar(range.lowerBound + offset) { text.unicodeScalars.append(scalar) }
        }
        return text
    }

    // MARK: Reports

    private static func rate(_ bytes: Int, _ seconds: Double) -> Double { Double(bytes) / seconds / 1e6 }

    private static func text(_ tokenizer: Tokenizer, _ loadSeconds: Double, _ rows: [Row]) -> String {
        var text = Format.line("vocabulary", Format.count(tokenizer.vocabularySize, "token"))
        text += Format.line("load", Format.seconds(loadSeconds))
        for row in rows {
            let encode = Format.number(rate(row.byteCount, row.encodeSeconds))
            let decode = Format.number(rate(row.byteCount, row.decodeSeconds))
            text += "\n\(row.name)\n"
            text += Format.line("  size", "\(Format.bytes(row.byteCount)), \(Format.count(row.tokenCount, "token"))")
            text += Format.line("  encode", "\(encode) MB/s")
            text += Format.line("  decode", "\(decode) MB/s")
        }
        return text
    }

    private static func json(_ tokenizer: Tokenizer, _ loadSeconds: Double, _ rows: [Row]) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.key("vocabulary_size")
            json.int(tokenizer.vocabularySize)
            json.key("load_seconds")
            json.double(loadSeconds)
            json.key("texts")
            json.array(rows) { json, row in
                json.object { json in
                    json.key("name")
                    json.string(row.name)
                    json.key("bytes")
                    json.int(row.byteCount)
                    json.key("tokens")
                    json.int(row.tokenCount)
                    json.key("encode_seconds")
                    json.double(row.encodeSeconds)
                    json.key("decode_seconds")
                    json.double(row.decodeSeconds)
                }
            }
        }
        json.newline()
        return json.bytes
    }
}

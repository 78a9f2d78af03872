// What goes to a terminal: numbers, headings, the progress line, sections in order.

import SwiftletCommand
import Synchronization
import Testing

@Suite("What a person reads")
struct ConsoleTests {
    @Test("Numbers")
    func numbers() {
        #expect(Format.count(0) == "0")
        #expect(Format.count(1234567) == "1,234,567")
        #expect(Format.count(-123456) == "-123,456")
        #expect(Format.count(1, "token") == "1 token")
        #expect(Format.count(2000, "token") == "2,000 tokens")
        #expect(Format.number(0.005) == "0.01")
        #expect(Format.number(9.994) == "9.99")
        #expect(Format.number(9.996) == "10.0")
        #expect(Format.number(99.94) == "99.9")
        #expect(Format.number(1234.5) == "1,235")
        #expect(Format.number(.infinity) == "-")
        #expect(Format.rate(10, 0) == "- tok/s")
        #expect(Format.rate(10, 2) == "5.00 tok/s")
        #expect(Format.seconds(0.0123) == "12.3 ms")
        #expect(Format.seconds(90) == "90.0 s")
    }

    @Test("A heading is one line of bounded width")
    func headings() {
        #expect(Format.heading("a\nb\r") == "a\\nb\\r")
        #expect(Format.heading(String(repeating: "é", count: 100), width: 10) == String(repeating: "é", count: 9) + "…")
    }

    @Test("The progress line")
    func progress() {
        var progress = BatchRun.Progress()
        progress.succeeded = 3
        progress.failed = 1
        progress.finishedBytes = 50
        #expect(
            ProgressBar.line(progress, totalBytes: 100, prefill: "1 tok/s", decode: "2 tok/s")
                == "[##########----------] 50% 4 requests done, 1 failed, prefill 1 tok/s, decode 2 tok/s")
        progress.failed = 0
        #expect(
            ProgressBar.line(progress, totalBytes: nil, prefill: "a", decode: "b")
                == "3 requests done, prefill a, decode b")
    }

    @Test("Sections that grow together are printed one after the other")
    func sections() throws {
        let written = Mutex<[String]>([])
        let printer = SectionPrinter(count: 3) { text in written.withLock { $0.append(text) } }
        try printer.append("b1", to: 1)
        try printer.append("a1", to: 0)
        try printer.finish(1)
        try printer.append("c1", to: 2)
        #expect(written.withLock { $0 } == ["a1"])
        try printer.append("a2", to: 0)
        #expect(written.withLock { $0 } == ["a1", "a2"])
        try printer.finish(0)
        #expect(written.withLock { $0 } == ["a1", "a2", "b1", "c1"])
        try printer.append("c2", to: 2)
        try printer.finish(2)
        #expect(written.withLock { $0 }.joined() == "a1a2b1c1c2")
    }
}

// SectionPrinter: several texts that grow at the same time, printed one after the other.
// The first unfinished one is written as it grows; the others wait in memory for their turn.
// Invariant: what is written is the sections in order, whatever order their pieces came in.

import Swiftlet
import Synchronization

package final class SectionPrinter: Sendable {
    private struct Section {
        var waiting = ""
        var isFinished = false
    }

    private struct State {
        var sections: [Section]
        var current = 0
    }

    private let write: @Sendable (String) throws -> Void
    private let state: Mutex<State>

    /// - Parameter write: Where text goes, such as standard output.
    package init(count: Int, write: @escaping @Sendable (String) throws -> Void) {
        self.write = write
        state = Mutex(State(sections: Array(repeating: Section(), count: count)))
    }

    package func append(_ text: String, to section: Int) throws {
        try state.withLock { state in
            state.sections[section].waiting += text
            try advance(&state)
        }
    }

    package func finish(_ section: Int) throws {
        try state.withLock { state in
            state.sections[section].isFinished = true
            try advance(&state)
        }
    }

    private func advance(_ state: inout State) throws {
        while state.current < state.sections.count {
            let section = state.sections[state.current]
            if !section.waiting.isEmpty { try write(section.waiting) }
            state.sections[state.current].waiting = ""
            if !section.isFinished { return }
            state.current += 1
        }
    }
}

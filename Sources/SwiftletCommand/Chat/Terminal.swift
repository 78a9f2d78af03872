// Terminal: the person's terminal, while it is in a mode of ours: how it takes keys, how large it is, what wakes us up.
// Owned by ChatCommand. The only place that changes the terminal's settings.
// Invariant: whenever the process stops or ends, but by SIGKILL or a crash, the terminal is as it was found.

import Dispatch
package import Swiftlet
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

package final class Terminal: Sendable {
    package enum Mode: Sendable {
        /// As it was found.
        case original
        /// Every key comes to us as it is.
        case editing
        /// Keys wait unseen, but Ctrl-C, Ctrl-Z and Ctrl-\ are signals.
        case answering
    }

    package enum Event: Sendable, Hashable {
        case bytes([UInt8])
        /// Nothing came in time.
        case idle
        case resized
        /// The process was stopped and goes on: the screen has other things on it.
        case resumed
        case interrupted
        /// The terminal is gone.
        case end
    }

    private struct State {
        var mode = Mode.original
        var events: [Event] = []
    }

    private let state = Mutex(State())
    private let original: termios
    /// A byte in it says that there is an event.
    private let wakeUp: (read: Int32, write: Int32)
    private let queue = DispatchQueue(label: "swiftlet.terminal")

    /// nil when there is no terminal on standard input and output, or one that can't move its cursor.
    package init?(environment: [String: String]) {
        let name = environment["TERM"] ?? ""
        guard name != "", name != "dumb", File.standardInput.isTerminal, File.standardOutput.isTerminal
        else { return nil }
        var original = termios()
        var ends: [Int32] = [0, 0]
        guard tcgetattr(0, &original) == 0, pipe(&ends) == 0 else { return nil }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        self.original = original
        wakeUp = (ends[0], ends[1])
    }

    deinit {
        close(wakeUp.read)
        close(wakeUp.write)
    }

    // MARK: Settings

    /// The terminal's size.
    package var size: EditorView.Size {
        var size = winsize()
        let known = ioctl(1, UInt(TIOCGWINSZ), &size) == 0
        return EditorView.Size(columns: known ? Int(size.ws_col) : 0, rows: known ? Int(size.ws_row) : 0)
    }

    package func enter(_ mode: Mode) {
        state.withLock { state in
            state.mode = mode
            apply(mode)
        }
    }

    /// Tells the terminal. Never from the background, where asking for it would stop the process.
    private func apply(_ mode: Mode) {
        guard tcgetpgrp(0) == getpgrp() else { return }
        var settings = original
        if mode != .original {
            cfmakeraw(&settings)
            // What we write is text: line ends stay line ends.
            settings.c_oflag = original.c_oflag
            if mode == .answering { settings.c_lflag |= tcflag_t(ISIG) | tcflag_t(NOFLSH) }
        }
        tcsetattr(0, TCSADRAIN, &settings)
        // Bracketed paste.
        try? write(mode == .editing ? "\u{1B}[?2004h" : "\u{1B}[?2004l")
    }

    package func write(_ text: String) throws(LLMError) {
        try File.standardOutput.write(Array(text.utf8))
    }

    // MARK: Signals

    /// Runs `body` with the signals that matter to a terminal in our hands; Ctrl-C is ``Interrupts``' business.
    package func handlingSignals(
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Void
    ) async rethrows {
        let endings = [SIGTERM, SIGHUP, SIGQUIT]
        var sources = endings.map { number in source(of: number) { [self] in end(by: number) } }
        sources.append(source(of: SIGTSTP) { [self] in stop() })
        sources.append(source(of: SIGCONT) { [self] in resume() })
        sources.append(source(of: SIGWINCH) { [self] in post(.resized) })
        defer {
            enter(.original)
            for source in sources { source.cancel() }
            for number in endings + [SIGTSTP, SIGCONT, SIGWINCH] { signal(number, SIG_DFL) }
        }
        try await body()
    }

    private func source(of number: Int32, _ action: @escaping @Sendable () -> Void) -> any DispatchSourceSignal {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
        source.setEventHandler(handler: action)
        source.resume()
        return source
    }

    /// Ends as if the signal had not been caught, the terminal in order.
    private func end(by number: Int32) {
        state.withLock { _ in
            apply(.original)
            signal(number, SIG_DFL)
            kill(getpid(), number)
            // Threads of a dispatch queue block signals: should none take it, end by the code that shells give it.
            usleep(100_000)
            _exit(128 + number)
        }
    }

    /// Stops until the shell's `fg`. SIGSTOP, because the default action of SIGTSTP is not ours any more.
    private func stop() {
        state.withLock { _ in
            apply(.original)
            kill(getpid(), SIGSTOP)
        }
    }

    /// The process goes on. Only now: the thread that asks for a stop runs on for a moment.
    private func resume() {
        state.withLock { apply($0.mode) }
        post(.resumed)
    }

    /// Asks for a stop of the whole job, as the terminal's Ctrl-Z does.
    package func suspend() { kill(0, SIGTSTP) }

    // MARK: Events

    /// Wakes up whoever waits for an event.
    package func post(_ event: Event) {
        state.withLock { state in
            // One of a kind says it all.
            if !state.events.contains(event) { state.events.append(event) }
        }
        var byte: UInt8 = 0
        _ = systemWrite(wakeUp.write, &byte, 1)
    }

    /// Waits for keys or anything else. For one task at a time.
    ///
    /// - Parameter milliseconds: How long to wait before it is ``Event/idle``; nil is for ever.
    package func next(within milliseconds: Int32?) async throws -> Event {
        try await withCheckedThrowingContinuation { done in
            queue.async { done.resume(with: Result { try self.wait(milliseconds ?? -1) }) }
        }
    }

    private func wait(_ milliseconds: Int32) throws -> Event {
        while true {
            if let event = state.withLock({ $0.events.isEmpty ? nil : $0.events.removeFirst() }) { return event }
            var requests = [
                pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeUp.read, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&requests, 2, milliseconds)
            if count < 0 && errno == EINTR { continue }
            if count == 0 { return .idle }
            if requests[1].revents != 0 {
                var bytes = [UInt8](repeating: 0, count: 64)
                _ = systemRead(wakeUp.read, &bytes, bytes.count)
                continue
            }
            let bytes = try [UInt8](unsafeUninitializedCapacity: 4096) { space, count in
                count = try File.standardInput.read(into: UnsafeMutableRawBufferPointer(space))
            }
            return bytes.isEmpty ? .end : .bytes(bytes)
        }
    }
}

// The C functions whose names the class's own members hide.
private func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, bytes, count)
}
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

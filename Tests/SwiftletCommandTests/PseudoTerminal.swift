// The built command on a terminal of its own, as a person has it before them: a new session whose controlling terminal is a
// pseudo terminal that the test types on and reads.

import SwiftletTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

final class PseudoTerminal {
    private let master: Int32
    /// Kept open, so that what was written last can be read and the settings can be looked at.
    private let slave: Int32
    private(set) var process: pid_t = 0
    /// Everything that was written so far.
    private var bytes: [UInt8] = []
    /// How many bytes waits have passed.
    private var seen = 0

    /// POSIX_SPAWN_SETSID, which Glibc shows to GNU's own programs only.
    #if canImport(Darwin)
    private static let newSession: Int16 = 0x400
    #else
    private static let newSession: Int16 = 0x80
    #endif

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    init(_ arguments: [String], columns: UInt16 = 80, rows: UInt16 = 24, environment: [String] = ["TERM=xterm"]) throws
    {
        var (master, slave): (Int32, Int32) = (0, 0)
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        var name = [CChar](repeating: 0, count: 128)
        guard openpty(&master, &slave, &name, nil, &size) == 0 else { throw Failure(description: "no pseudo terminal") }
        self.master = master
        self.slave = slave
        for descriptor in [master, slave] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(master, F_SETFL, O_NONBLOCK)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Self.newSession)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The first terminal that the new session opens is its own.
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        let binary = try RunningCommand.binary()
        let words = ([binary] + arguments).map { strdup($0) } + [nil]
        let variables = (environment + ["PATH=/usr/bin:/bin"]).map { strdup($0) } + [nil]
        defer { for word in words + variables { free(word) } }
        guard posix_spawn(&process, binary, &actions, &attributes, words, variables) == 0 else {
            throw Failure(description: "\(binary) can't be started")
        }
    }

    deinit {
        if process > 0 {
            kill(process, SIGKILL)
            waitpid(process, nil, 0)
        }
        close(master)
        close(slave)
    }

    func type(_ text: String) {
        _ = Array(text.utf8).withUnsafeBytes { write(master, $0.baseAddress!, $0.count) }
    }

    func send(_ signal: Int32) { kill(process, signal) }

    func resize(columns: UInt16, rows: UInt16) {
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)
    }

    /// Whether the terminal shows what is typed and gives whole lines, as it does between commands.
    var isAsFound: Bool {
        var settings = termios()
        guard tcgetattr(slave, &settings) == 0 else { return false }
        let flags = tcflag_t(ECHO) | tcflag_t(ICANON) | tcflag_t(ISIG)
        return settings.c_lflag & flags == flags && settings.c_iflag & tcflag_t(ICRNL) != 0
    }

    /// Reads what was written.
    private func readAvailable() {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(master, $0.baseAddress!, $0.count) }
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
    }

    /// Waits for a text that was not there when the last wait ended; the text up to it.
    @discardableResult
    func wait(for text: String, seconds: Double = 20, _ place: SourceLocation = #_sourceLocation) async throws -> String
    {
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            readAvailable()
            let new = String(decoding: bytes[seen...], as: UTF8.self)
            if let found = new.firstRange(of: text) {
                let passed = String(new[..<found.upperBound])
                seen += passed.utf8.count
                return passed
            }
            if clock.now - start > .seconds(seconds) {
                Issue.record(
                    "\(text.debugDescription) never came; there was \(new.debugDescription)", sourceLocation: place)
                throw Failure(description: "no \(text.debugDescription)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Waits for the end of the command, or for its being stopped; the exit code or 128 plus the signal.
    func finish(stopped: Bool = false) async throws -> Int32 {
        let clock = ContinuousClock()
        let start = clock.now
        var status: Int32 = 0
        while waitpid(process, &status, WNOHANG | (stopped ? WUNTRACED : 0)) == 0 {
            readAvailable()
            if clock.now - start > .seconds(20) { kill(process, SIGKILL) }
            try await Task.sleep(for: .milliseconds(5))
        }
        readAvailable()
        if status & 0xFF == 0x7F { return 128 + (status >> 8 & 0xFF) }
        process = 0
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
    }
}

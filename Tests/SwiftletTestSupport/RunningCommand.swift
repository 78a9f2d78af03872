// The built command as a process of its own, for what only a process has: exit codes, signals, streams.
// Its standard output and error are files, so that no pipe can fill up.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

package final class RunningCommand {
    package struct Finished {
        /// The exit code, or 128 plus the signal.
        package var code: Int32
        package var output: String
        package var errors: String
    }

    private let folder: TemporaryFolder
    private var process: pid_t = 0
    /// The end of standard input that the test writes to, while it is open.
    private var input: Int32

    /// The binary lies beside the test bundle, which is what runs.
    package static func binary() throws -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { readlink("/proc/self/exe", $0.baseAddress!, $0.count) }
        var candidates = CommandLine.arguments.filter { $0.contains(".xctest") }
        if count > 0 { candidates.append(String(decoding: buffer[..<count], as: UTF8.self)) }
        for path in candidates {
            guard let slash = path.lastIndex(of: "/") else { continue }
            let binary = path[..<slash] + "/swiftlet"
            if access(String(binary), X_OK) == 0 { return String(binary) }
        }
        throw Missing()
    }

    /// In arguments: the command's own path.
    package static let itself = "{swiftlet}"

    package var processID: Int32 { process }

    package struct Missing: Error, CustomStringConvertible {
        package var description: String { "the command `swiftlet` is not beside the tests; build it first" }
    }

    /// Starts the command with `standardInput` waiting in its pipe, which stays open until `closeInput`.
    /// Standard output goes to a file of the test's own, or to `standardOutput`.
    /// The environment is a path for programs and what `environment` adds.
    /// With `shell` a shell runs that text, in which `"$0" "$@"` is the command.
    /// `launcher` is what starts the command instead, such as mpirun with its options; it may be told of several.
    package init(
        _ arguments: [String], standardInput: String = "", standardOutput: String? = nil,
        environment added: [String: String] = [:], shell: String? = nil, launcher: [String] = []
    ) throws {
        folder = try TemporaryFolder()
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0, fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0, fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0
        else { throw Missing() }
        input = ends[1]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        let flags = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, 1, standardOutput ?? folder.path + "/out", flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, folder.path + "/err", flags, 0o600)
        let binary = try Self.binary()
        let before = shell.map { ["/bin/sh", "-c", $0] } ?? launcher
        let words = (before + [binary] + arguments).map { strdup($0 == Self.itself ? binary : $0) } + [nil]
        defer { for word in words { free(word) } }
        let variables = ["PATH=/usr/bin:/bin"] + added.map { "\($0.key)=\($0.value)" }
        let environment = variables.map { strdup($0) } + [nil]
        defer { for variable in environment { free(variable) } }
        let status = posix_spawn(&process, before.first ?? binary, &actions, nil, words, environment)
        close(ends[0])
        guard status == 0 else { throw Missing() }
        if !standardInput.isEmpty {
            _ = standardInput.utf8CString.withUnsafeBytes { write(input, $0.baseAddress!, $0.count - 1) }
        }
    }

    deinit {
        closeInput()
        if process > 0 {
            kill(process, SIGKILL)
            waitpid(process, nil, 0)
        }
    }

    package func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    /// What standard output has so far.
    package var output: String { folder.read("out") ?? "" }

    /// What standard error has so far.
    package var errors: String { folder.read("err") ?? "" }

    package func interrupt() { kill(process, SIGINT) }

    /// Asks the process to end.
    package func requestEnd() { kill(process, SIGTERM) }

    /// Ends the process in the middle of what it does.
    package func terminate() { kill(process, SIGKILL) }

    /// Whether it has not ended yet.
    package var isRunning: Bool {
        var information = siginfo_t()
        return process > 0 && waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT) == 0
            && information.si_signo == 0
    }

    /// Waits for the end; after `seconds` the process is killed, which shows as 128 + SIGKILL.
    package func finish(within seconds: Double = 15) async throws -> Finished {
        let clock = ContinuousClock()
        let start = clock.now
        var status: Int32 = 0
        while waitpid(process, &status, WNOHANG) == 0 {
            if clock.now - start > .seconds(seconds) { kill(process, SIGKILL) }
            try await Task.sleep(for: .milliseconds(5))
        }
        process = 0
        let signal = status & 0x7F
        return Finished(
            code: signal == 0 ? status >> 8 & 0xFF : 128 + signal, output: output,
            errors: folder.read("err") ?? "")
    }

    /// Runs the command to its end.
    package static func run(
        _ arguments: [String], standardInput: String = "", standardOutput: String? = nil,
        environment: [String: String] = [:], shell: String? = nil
    ) async throws -> Finished {
        let command = try RunningCommand(
            arguments, standardInput: standardInput, standardOutput: standardOutput, environment: environment,
            shell: shell)
        command.closeInput()
        return try await command.finish()
    }
}

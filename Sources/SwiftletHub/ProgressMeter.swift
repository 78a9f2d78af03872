// ProgressMeter: counts what a pull has and still needs, and passes it on.
// Shared by the downloads of one pull.
// Invariant: a report follows each MiB and each file at the latest.

#if Server
import Synchronization

final class ProgressMeter: Sendable {
    private struct State {
        var progress = Hub.Progress()
        var reportedBytes = 0
    }
    private let state = Mutex(State())
    private let report: (@Sendable (Hub.Progress) -> Void)?

    init(report: (@Sendable (Hub.Progress) -> Void)?) { self.report = report }

    func expect(_ files: [RemoteFile]) {
        change(reports: true) { progress in
            progress.totalFiles += files.count
            progress.totalBytes += files.reduce(0) { $0 + $1.size }
        }
    }

    /// - Parameter bytes: May be negative, for what has to come again.
    func count(_ bytes: Int, transferred: Bool) {
        change(reports: false) { progress in
            progress.bytes += bytes
            if transferred { progress.transferredBytes += bytes }
        }
    }

    func finishFile() { change(reports: true) { $0.files += 1 } }

    private func change(reports: Bool, _ body: (inout Hub.Progress) -> Void) {
        let changed: Hub.Progress? = state.withLock { state in
            body(&state.progress)
            let isDue = reports || (state.progress.bytes - state.reportedBytes).magnitude >= 1 << 20
            guard isDue else { return nil }
            state.reportedBytes = state.progress.bytes
            return state.progress
        }
        if let changed { report?(changed) }
    }
}
#endif

// Platform: the engine's own thread, from pthreads through the C target.

import CSwiftletKernels
import Dispatch
import Synchronization

extension Platform {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// The process will exit with 0, whatever kept it from ending properly.
    package static func endsWell() { swiftlet_ends_with(0) }

    /// Runs `body` on a new detached thread. A step computes for long and waits on barriers: it has no place on the
    /// cooperative pool.
    package static func startThread(_ body: @escaping @Sendable () -> Void) throws(LLMError) {
        let context = Unmanaged.passRetained(Body(body))
        let isStarted = swiftlet_thread_start(
            { Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run() }, context.toOpaque())
        guard isStarted else {
            context.release()
            throw LLMError(.outOfMemory, "the engine's thread can't be started; the limit of threads may be reached")
        }
    }
}

extension Platform {
    /// Runs `body` on a thread of its own and waits for it no longer than `seconds`; it goes on alone then. Without a thread
    /// to be had it runs on this one.
    ///
    /// - Returns: Whether it is done.
    package static func attempt(seconds: Double, _ body: @escaping @Sendable () -> Void) -> Bool {
        let isDone = DispatchSemaphore(value: 0)
        do throws(LLMError) {
            try startThread {
                body()
                isDone.signal()
            }
        } catch {
            body()
            return true
        }
        return isDone.wait(timeout: .now() + seconds) == .success
    }
}

/// A value that a thread of its own computes while its maker does other things.
final class Deferred<Value: Sendable>: Sendable {
    private let outcome = Mutex<Result<Value, LLMError>?>(nil)
    private let isDone = DispatchSemaphore(value: 0)

    /// - Parameter after: What the thread does with the value when it is there to be had.
    init(
        _ body: @escaping @Sendable () throws(LLMError) -> Value, after: @escaping @Sendable (Value) -> Void = { _ in }
    ) throws(LLMError) {
        try Platform.startThread { [self] in
            let result: Result<Value, LLMError>
            do throws(LLMError) {
                result = .success(try body())
            } catch {
                result = .failure(error)
            }
            outcome.withLock { $0 = result }
            isDone.signal()
            if case .success(let value) = result { after(value) }
        }
    }

    /// Waits for it. To be called once.
    func value() throws(LLMError) -> Value {
        isDone.wait()
        return try outcome.withLock { $0 }!.get()
    }
}

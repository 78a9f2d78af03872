// Platform: the engine's own thread, from pthreads through the C target.

import CSwiftletKernels

extension Platform {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

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

// Platform: the engine's own thread, behind `canImport` like everything that asks the operating system.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension Platform {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a new detached thread. A step computes for long and waits on barriers: it has no place on the
    /// cooperative pool.
    package static func startThread(_ body: @escaping @Sendable () -> Void) throws(LLMError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 8 << 20)
        let context = Unmanaged.passRetained(Body(body)).toOpaque()
        #if canImport(Darwin)
            var thread: pthread_t?
        #else
            var thread = pthread_t()
        #endif
        let status = pthread_create(&thread, &attributes, { Self.runBody($0) }, context)
        guard status == 0 else {
            Unmanaged<Body>.fromOpaque(context).release()
            throw LLMError(.outOfMemory, "the engine's thread can't be started: \(String(cString: strerror(status)))")
        }
    }

    #if canImport(Darwin)
        private static func runBody(_ context: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
            Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }
    #else
        private static func runBody(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
            Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }
    #endif

    /// Seconds on a clock that never goes back.
    package static func monotonicSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}

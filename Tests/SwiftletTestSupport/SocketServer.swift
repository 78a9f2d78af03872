// SocketServer: plain sockets on a free port of this machine, one thread for each connection, so that a test's server can
// break off, fall silent and lie at any byte.
// Invariant: when the server is gone, so are its connections.

import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

package final class SocketServer: Sendable {
    /// A connection, for the thread that serves it. It is closed when that returns.
    package struct Connection: Sendable {
        private let descriptor: Int32

        fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

        /// What comes until `isComplete` says that it is enough; nil when the other side ends before, or goes on for ever.
        package func receive(until isComplete: ([UInt8]) -> Bool) -> [UInt8]? {
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while bytes.count < 1 << 22 {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0 else { return nil }
                bytes += buffer[..<count]
                if isComplete(bytes) { return bytes }
            }
            return nil
        }

        /// Whether all of it was taken.
        @discardableResult
        package func send(_ bytes: some Sequence<UInt8>) -> Bool {
            var rest = Array(bytes)[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { systemSend(descriptor, $0) }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }

        @discardableResult
        package func send(_ text: String) -> Bool { send(text.utf8) }

        /// Whether the other side has closed.
        package var isClosed: Bool {
            var byte: UInt8 = 0
            return recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) == 0
        }

        /// Breaks off: what was sent may not arrive.
        package func reset() {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
    }

    package struct Failure: Error {}

    private struct State {
        var connections: Set<Int32> = []
        var isStopped = false
    }
    private let state = Mutex(State())
    private let listener: Int32
    package let port: Int

    /// - Parameter serve: Called on a thread of its own for each connection.
    package init(_ serve: @escaping @Sendable (Connection) -> Void) throws {
        #if canImport(Glibc)
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        listener = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, size) == 0 && listen(descriptor, 64) == 0
                    && getsockname(descriptor, address, &size) == 0
            }
        }
        guard status else { throw Failure() }
        port = Int(UInt16(bigEndian: address.sin_port))
        Self.detach { [weak self] in
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0, let server = self else {
                    if connection >= 0 { close(connection) }
                    return
                }
                server.start(connection, serve)
            }
        }
    }

    deinit {
        let connections = state.withLock { state in
            state.isStopped = true
            return state.connections
        }
        for connection in connections { shutdown(connection, Int32(SHUT_RDWR)) }
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private func start(_ connection: Int32, _ serve: @escaping @Sendable (Connection) -> Void) {
        let isOpen = state.withLock { state in
            if !state.isStopped { state.connections.insert(connection) }
            return !state.isStopped
        }
        guard isOpen else {
            close(connection)
            return
        }
        Self.detach { [weak self] in
            serve(Connection(connection))
            self?.state.withLock { _ = $0.connections.remove(connection) }
            close(connection)
        }
    }

    private static func detach(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, Unmanaged.passRetained(Box(body)).toOpaque())
        pthread_detach(thread)
    }
}

// The C function whose name the struct's own member hides. A reader that went away must not end the tests.
private func systemSend(_ connection: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    #if canImport(Glibc)
    send(connection, bytes.baseAddress!, bytes.count, Int32(MSG_NOSIGNAL))
    #elseif canImport(Musl)
    send(connection, bytes.baseAddress!, bytes.count, MSG_NOSIGNAL)
    #else
    send(connection, bytes.baseAddress!, bytes.count, 0)
    #endif
}

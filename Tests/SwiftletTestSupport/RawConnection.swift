// RawConnection: bytes to and from a port, for what no HTTP client would send.
// Invariant: its blocking calls run on threads of Dispatch and end after a time limit: the server's tasks share the few
// threads that tests run on.

import Dispatch

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

package final class RawConnection {
    private let descriptor: Int32

    package struct Refused: Error {}

    package init(port: Int, timeoutSeconds: Int = 20) throws {
        #if canImport(Darwin)
        descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #else
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw Refused() }
        var limit = timeval()
        limit.tv_sec = timeoutSeconds
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close() }

    private var isOpen = true
    package func close() {
        if isOpen { shutdownAndClose() }
        isOpen = false
    }

    private func shutdownAndClose() {
        #if canImport(Glibc)
        Glibc.close(descriptor)
        #elseif canImport(Musl)
        Musl.close(descriptor)
        #else
        Darwin.close(descriptor)
        #endif
    }

    private static func blocking<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
        await withCheckedContinuation { done in
            DispatchQueue.global().async { done.resume(returning: body()) }
        }
    }

    /// Whether everything was taken.
    @discardableResult
    package func send(_ bytes: some Sequence<UInt8>) async -> Bool {
        let bytes = Array(bytes)
        return await Self.blocking { [descriptor] in
            var sent = 0
            while sent < bytes.count {
                let count = bytes.withUnsafeBytes { Self.send(descriptor, $0.baseAddress! + sent, $0.count - sent) }
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }
    }

    @discardableResult
    package func send(_ text: String) async -> Bool { await send(text.utf8) }

    private static func send(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        #if canImport(Darwin)
        Darwin.send(descriptor, bytes, count, 0)
        #else
        // No signal when the other side has gone.
        Glibc.send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
        #endif
    }

    /// What comes until the other side closes, or `text` has come; nil when time was up before.
    package func receive(until text: String? = nil) async -> String? {
        await Self.blocking { [descriptor] in
            let wanted = text.map { Array($0.utf8) }
            var received: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count == 0 { return String(decoding: received, as: UTF8.self) }
                guard count > 0 else { return errno == ECONNRESET ? String(decoding: received, as: UTF8.self) : nil }
                let searched = max(0, received.count - (wanted?.count ?? 0))
                received += buffer[..<count]
                if let wanted, received.count >= wanted.count,
                    (searched...received.count - wanted.count).contains(where: { received[$0...].starts(with: wanted) })
                {
                    return String(decoding: received, as: UTF8.self)
                }
            }
        }
    }

    /// Whether the other side closes in time, whatever it says before.
    package func isClosed() async -> Bool { await receive() != nil }
}

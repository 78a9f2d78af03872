// ConnectionFailure: what an error of an HTTP connection means, in words that are the same for every request it happens to.

#if Server
import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

package struct ConnectionFailure: Error, Sendable, Hashable {
    package enum Kind: Sendable {
        case cancelled
        /// There was a connection, and it is gone or silent.
        case broken
        /// There is no connection.
        case unreachable
        /// There will be none: the other side can't be trusted.
        case refused
    }

    package let kind: Kind
    package let reason: String

    private init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    package init(_ error: any Error, host: String) {
        switch error {
        case let error as HTTPClientError where error == .cancelled: self.init(.cancelled, "cancelled")
        case let error as HTTPClientError where error == .readTimeout || error == .deadlineExceeded:
            self.init(.broken, "\(host) went silent")
        case let error as HTTPClientError where error == .connectTimeout:
            self.init(.unreachable, "\(host) does not answer")
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            self.init(.broken, "\(host) closed the connection")
        case NIOSSLError.handshakeFailed(let reason):
            self.init(.refused, "no encrypted connection with \(host): \(Text.plain("\(reason)"))")
        case is NIOSSLExtraError:
            self.init(.refused, "no encrypted connection with \(host): \(Text.plain("\(error)"))")
        case let error as NIOConnectionError:
            let unknown = error.connectionErrors.isEmpty && (error.dnsAError != nil || error.dnsAAAAError != nil)
            self.init(.unreachable, unknown ? "the host \(host) can't be found" : "no connection with \(host)")
        case let error as IOError:
            self.init(.unreachable, "no connection with \(host): \(CacheFile.text(ofError: error.errnoCode))")
        case HTTPParserError.invalidEOFState:
            self.init(.broken, "\(host) closed the connection in the middle")
        default: self.init(.broken, "the connection with \(host) broke: \(Text.plain("\(error)"))")
        }
    }
}
#endif

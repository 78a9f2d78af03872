// HubURL: an address of the hub or of one that it sends us to, taken apart by the same parser that the connection is
// made with, so that both mean the same host.
// Invariant: scheme http or https, a host, no user or password, no spaces, backslashes or control characters.

#if Server
#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

package struct HubURL: Sendable, Hashable, CustomStringConvertible {
    /// Who answers: what a token may be sent to or not.
    package struct Origin: Hashable, Sendable {
        package var scheme: String
        package var host: String
        package var port: Int
    }

    package let text: String
    package let origin: Origin
    /// Whether it has neither query nor fragment.
    package let isPlain: Bool

    package init?(_ text: String) {
        let isClean = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }
        guard isClean, text.utf8.count <= 16_384, let url = URL(string: text) else { return nil }
        self.init(url)
    }

    private init?(_ url: URL) {
        guard let scheme = url.scheme?.lowercased(), scheme == "http" || scheme == "https" else { return nil }
        guard let host = url.host()?.lowercased(), !host.isEmpty, url.user() == nil, url.password() == nil else {
            return nil
        }
        let port = url.port ?? (scheme == "https" ? 443 : 80)
        guard (1...65535).contains(port) else { return nil }
        origin = Origin(scheme: scheme, host: host, port: port)
        isPlain = url.query() == nil && url.fragment() == nil
        text = url.absoluteString
    }

    /// Whether a redirect may be followed: never from an encrypted address to one that is not.
    package func mayLead(to next: HubURL) -> Bool { origin.scheme != "https" || next.origin.scheme == "https" }

    /// The address with a path behind it, which is percent-encoded already.
    package func appending(_ path: String) -> HubURL? { HubURL(Self.withoutSlash(text) + path) }

    private static func withoutSlash(_ text: String) -> String {
        String(text.reversed().drop { $0 == "/" }.reversed())
    }

    /// Where a `Location` header leads from here; nil for what is no address of the web.
    package func redirected(to location: String) -> HubURL? {
        let isClean = location.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }
        guard isClean, location.utf8.count <= 16_384, let base = URL(string: text),
            let url = URL(string: location, relativeTo: base)
        else { return nil }
        return HubURL(url.absoluteURL)
    }

    /// What messages call it: without the query, which may hold a signature.
    package var description: String {
        Text.plain(Self.withoutSlash(String(text.prefix { $0 != "?" })))
    }

    /// A text as one part of a path.
    package static func encoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
        return result
    }
}
#endif

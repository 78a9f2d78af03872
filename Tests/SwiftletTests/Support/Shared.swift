// Where the reference outputs lie that are not part of the repository. A stranger's clone has none: tests that need
// them are skipped with that message.

import Swiftlet
import SwiftletJSON

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

enum Shared {
    static let missing = "reference outputs are not here (../shared/golden, or the folder SWIFTLET_SHARED names)"

    /// `golden/`, or nil.
    static let golden: String? = {
        var candidates: [String] = []
        if let named = getenv("SWIFTLET_SHARED") { candidates.append(String(cString: named)) }
        var folder = #filePath.split(separator: "/").dropLast()
        while !folder.isEmpty {
            candidates.append("/" + folder.joined(separator: "/") + "/../shared")
            folder = folder.dropLast()
        }
        return candidates.map { $0 + "/golden" }.first { access($0, R_OK) == 0 }
    }()

    static var isHere: Bool { golden != nil }

    static func model(_ name: String) -> String { golden! + "/models/" + name }

    static func json(_ path: String) throws -> JSONValue {
        try JSONDocument(parsing: Platform.readFile(path, limit: 64 << 20)).root
    }
}

extension JSONValue {
    var ints: [Int] { elements.map { $0.int! } }
    var ids: [Int32] { elements.map { Int32($0.int!) } }
    var floats: [Float] { elements.map { Float($0.double!) } }
}

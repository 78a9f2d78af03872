// ModelList: the answers of /v1/models.

import Swiftlet
import SwiftletJSON

struct ModelList: Sendable {
    var names: [String]
    var maxModelLength: Int
    private static let created = Platform.unixSeconds()

    init(names: [String], maxModelLength: Int) {
        self.names = names
        self.maxModelLength = maxModelLength
    }

    func list() -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("object", "list")
            json.key("data")
            json.array(names) { json, name in write(name, to: &json) }
        }
        return json.bytes
    }

    /// - Parameter path: A name, perhaps with percent escapes.
    func model(_ path: String) throws(APIError) -> [UInt8] {
        guard let name = names.first(where: { $0 == path || Self.escaped($0) == path.uppercasedEscapes }) else {
            throw APIError(
                status: 404, "the model \"\(path.prefix(200))\" does not exist", param: "model", code: "model_not_found"
            )
        }
        var json = JSONWriter()
        write(name, to: &json)
        return json.bytes
    }

    private func write(_ name: String, to json: inout JSONWriter) {
        json.object { json in
            json.member("id", name)
            json.member("object", "model")
            json.member("created", Self.created)
            json.member("owned_by", "swiftlet")
            json.member("root", names[0])
            json.member("parent", nil as String?)
            json.member("max_model_len", maxModelLength)
        }
    }

    /// The name as clients that escape everything write it.
    private static func escaped(_ name: String) -> String {
        let digits = Array("0123456789ABCDEF")
        return name.utf8.reduce(into: "") { text, byte in
            let scalar = Unicode.Scalar(byte)
            if byte < 0x80,
                Character(scalar).isLetter || Character(scalar).isNumber || "-_.~".unicodeScalars.contains(scalar)
            {
                text.unicodeScalars.append(scalar)
            } else {
                text += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }
}

extension String {
    /// `%2f` as `%2F`.
    fileprivate var uppercasedEscapes: String {
        var text = ""
        var left = 0
        for character in self {
            text += left > 0 ? character.uppercased() : String(character)
            left = character == "%" ? 2 : max(0, left - 1)
        }
        return text
    }
}

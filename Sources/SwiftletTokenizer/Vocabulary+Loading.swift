// Reads `vocab` of a model that lists its tokens as an object, straight from the JSON tape.
// Owned by the models.
// Invariant: every id is in range; of two equal texts the later counts, as in the reference.

import SwiftletJSON

extension Vocabulary {
    /// - Parameter kind: the model's type, for messages.
    init(_ model: JSONValue, of kind: String) throws(TokenizerError) {
        guard let section = model["vocab"], section.kind == .object else {
            throw TokenizerError("model \(kind): vocab is missing or not an object")
        }
        self.init(capacity: section.count + 1, byteCapacity: section.byteRange.count / 2)
        let tape = JSONTape(section.document)
        var scratch: [UInt8] = []
        var node = section.index + 1
        for _ in 0..<section.count {
            guard let id = tape.integer(node + 1) else {
                throw TokenizerError("model \(kind): the id of \"\(tape.text(node))\" is not an integer")
            }
            let outcome = tape.withString(node, &scratch) { text in
                Result { () throws(TokenizerError) in try insert(text, id: id) }
            }
            try outcome.get()
            node = tape.next(node + 1)
        }
    }

    /// Ids of `<0x00>` … `<0xFF>`, or -1.
    var byteTokenIDs: [TokenID] {
        (0..<256).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return id(of: "<0x" + (digits.count < 2 ? "0" : "") + digits + ">") ?? -1
        }
    }
}

// What keeps a tokenizer.json from being used.
// Owned by SwiftletTokenizer; thrown while loading only: an immutable tokenizer cannot fail later.
// Invariant: the message names the component or the entry that is at fault.

/// Why a `tokenizer.json` cannot be loaded.
public struct TokenizerError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The fact, naming the part of the file that is meant.
    public var message: String

    public var description: String { message }

    /// Makes an error with a message.
    public init(_ message: String) {
        self.message = message
    }
}

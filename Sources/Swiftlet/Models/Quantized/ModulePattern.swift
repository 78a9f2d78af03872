// ModulePattern: one entry of compressed-tensors' `targets`: a module's name, or `re:` and a pattern for its beginning.
// Invariant: a pattern costs bounded time, whatever a file says (the matcher has a budget).

internal import SwiftletTokenizer

struct ModulePattern {
    private let text: String

    init(_ text: String) { self.text = text }

    func matches(_ module: String) -> Bool {
        guard text.hasPrefix("re:") else { return text == module }
        let pattern = "^(?:\(text.dropFirst(3)))"
        return (try? RegexMatcher.matches(of: pattern, in: module).isEmpty == false) ?? false
    }

    /// Whether it can be matched with at all.
    var isValid: Bool {
        !text.hasPrefix("re:") || (try? RegexMatcher.matches(of: String(text.dropFirst(3)), in: "")) != nil
    }
}

// A chat template in a file of its own, as `--chat-template` and `swiftlet template` take it.
// Invariant: an error names the file.

package import Swiftlet
package import SwiftletTemplate

extension ChatTemplate {
    /// Reads a template.
    ///
    /// - Throws: ``LLMError`` when the file can't be read, is larger than ``maximumByteCount`` or is no valid template.
    package init(file path: String) throws(LLMError) {
        let bytes = try Platform.readFile(path, limit: Self.maximumByteCount)
        guard let source = String(validating: bytes, as: UTF8.self) else {
            throw LLMError(.invalidModel, "\(path) is not UTF-8")
        }
        do throws(TemplateError) {
            try self.init(source)
        } catch {
            throw LLMError(.invalidModel, "\(path): \(error)")
        }
    }
}

// The chat templates among a model's files.
// Invariant: a template that is not valid is an error when it is used, so that such a model still completes prompts.

package import SwiftletTemplate

extension ModelFiles {
    /// The model's chat templates and the special tokens they are given.
    package func chatTemplates() throws(LLMError) -> ModelTemplates {
        let folder = ModelTemplates.additionalFolder
        do throws(TemplateError) {
            return try ModelTemplates(name: name, additional: names(in: folder)) { (file) throws(TemplateError) in
                do throws(LLMError) {
                    guard file.hasPrefix(folder + "/") else { return try data(file) }
                    return try data(String(file.dropFirst(folder.count + 1)), in: folder)
                } catch {
                    throw TemplateError(.invalidInput, error.message)
                }
            }
        } catch {
            throw LLMError(.invalidModel, "\(name): \(error.message)")
        }
    }
}

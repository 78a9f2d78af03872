// What keeps a template from being parsed or rendered.
// Owned by SwiftletTemplate; templates come from outside, so everything they can do wrong ends here.
// Invariant: the message of raise_exception is passed on unchanged.

/// Why a chat template can't be parsed or rendered.
public struct TemplateError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What kind of error it is.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case invalidTemplate, missingTemplate, invalidInput, raised, undefined, type, security, limit
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// The template's text is not Jinja.
        public static let invalidTemplate = Code(.invalidTemplate)
        /// A model's folder has no chat template, or not the one that is needed.
        public static let missingTemplate = Code(.missingTemplate)
        /// Messages, tools or variables are not what a template takes.
        public static let invalidInput = Code(.invalidInput)
        /// The template refused the conversation (`raise_exception`).
        public static let raised = Code(.raised)
        /// Something was done with a value that is not there.
        public static let undefined = Code(.undefined)
        /// An operation that a value does not have, or an argument out of range.
        public static let type = Code(.type)
        /// Something the sandbox forbids.
        public static let security = Code(.security)
        /// A limit of ``ChatTemplate/Limits`` was reached.
        public static let limit = Code(.limit)

        public var description: String { value.rawValue }
    }

    public var code: Code
    /// The fact; for ``Code/raised`` exactly what the template says.
    public var message: String
    /// The line of the template, from 1, where one is known.
    public var line: Int?

    /// Makes an error with a message.
    public init(_ code: Code, _ message: String, line: Int? = nil) {
        self.code = code
        self.message = message
        self.line = line
    }

    public var description: String { line.map { "line \($0): \(message)" } ?? message }
}

extension TemplateError {
    static func type(_ message: String) -> TemplateError { TemplateError(.type, message) }
    static func limit(_ message: String) -> TemplateError { TemplateError(.limit, message) }
}

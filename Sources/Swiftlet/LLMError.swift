// LLMError: everything that a caller, a file, the environment or a device can cause.
// Shape of ServiceLifecycle's errors: new codes can be added without breaking anyone's switch.
// Invariant: a message states the fact, the limit, and what to change.

/// An error of the engine.
public struct LLMError: Error, Sendable, CustomStringConvertible {
    /// What kind of error it is.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case invalidConfiguration, invalidModel, unsupportedModel, invalidRequest, contextLengthExceeded
            case outOfMemory, inputOutput, queueFull, engineFailed, downloadFailed
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// An option of ``EngineConfig`` is out of range or contradicts another one.
        public static let invalidConfiguration = Code(.invalidConfiguration)
        /// A model file is damaged, lies about itself or lacks something.
        public static let invalidModel = Code(.invalidModel)
        /// A well-formed model that this engine has no code for.
        public static let unsupportedModel = Code(.unsupportedModel)
        /// A request that can't be served: a parameter out of range, an empty prompt.
        public static let invalidRequest = Code(.invalidRequest)
        /// A prompt, or a prompt and the tokens it asks for, that do not fit into the model's context or the KV cache.
        public static let contextLengthExceeded = Code(.contextLengthExceeded)
        /// The machine has too little memory for the weights or the KV cache.
        public static let outOfMemory = Code(.outOfMemory)
        /// A file can't be opened, read or written.
        public static let inputOutput = Code(.inputOutput)
        /// `maxQueuedRequests` requests are waiting already.
        public static let queueFull = Code(.queueFull)
        /// The engine stopped: a device failed, or ``LLM/shutdown()`` was called.
        public static let engineFailed = Code(.engineFailed)
        /// The hub refused, could not be reached, or sent something else than it announced.
        public static let downloadFailed = Code(.downloadFailed)

        public var description: String { value.rawValue }
    }

    public var code: Code
    /// The fact, the limit and what to change, in one or two sentences.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

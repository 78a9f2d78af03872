// The batches of `swiftlet generate`: lines with prompts and sampling parameters.

package import Swiftlet

extension BatchRun {
    /// Answers one request.
    package typealias Generate = @Sendable (BatchRequest) async throws -> RequestOutput

    package init(
        reader: LineReader, output: OrderedOutput, defaults: SamplingParams, window: Int,
        generate: @escaping Generate
    ) {
        self.init(reader: reader, output: output, window: window) { entry in
            let request: BatchRequest
            do throws(BatchRequest.Failure) {
                request = try BatchRequest(entry.line, number: entry.number, defaults: defaults)
            } catch {
                return Answer(id: error.id, LLMError(.invalidRequest, error.message))
            }
            do {
                return Answer(line: BatchResult.line(id: request.id, try await generate(request)))
            } catch let error as LLMError where ![.engineFailed, .inputOutput].contains(error.code) {
                // The engine's errors and the disk's are not the request's: they end the run.
                return Answer(id: request.id, LLMError(error.code, "line \(entry.number): \(error.message)"))
            }
        }
    }
}

extension BatchRun.Answer {
    fileprivate init(id: String?, _ error: LLMError) {
        self.init(line: BatchResult.line(id: id, error), failure: error.message)
    }
}

// The batches of `swiftlet generate`: lines with prompts and sampling parameters.

package import Swiftlet

extension BatchRun {
    /// Answers one request.
    package typealias Generate = @Sendable (BatchRequest) async throws -> RequestOutput

    /// Answers one line. Errors of the engine and of the disk are not the request's: they are thrown.
    package static func answer(
        _ entry: LineReader.Entry, defaults: SamplingParams, _ generate: Generate
    ) async throws -> Answer {
        let request: BatchRequest
        do throws(BatchRequest.Failure) {
            request = try BatchRequest(entry.line, number: entry.number, defaults: defaults)
        } catch {
            return Answer(id: error.id, LLMError(.invalidRequest, error.message))
        }
        do {
            return Answer(line: BatchResult.line(id: request.id, try await generate(request)))
        } catch let error as LLMError where ![.engineFailed, .inputOutput].contains(error.code) {
            return Answer(id: request.id, LLMError(error.code, "line \(entry.number): \(error.message)"))
        }
    }
}

extension BatchRun.Answer {
    fileprivate init(id: String?, _ error: LLMError) {
        self.init(line: BatchResult.line(id: id, error), failure: error.message)
    }
}

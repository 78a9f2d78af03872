// ModelArgument: what `--model` and its like name: a folder, or a model of the hub that is brought here first.
// Every command that takes a model comes through here.
// Invariant: a folder of the name wins; what is whole in the cache is used without asking the network.

import Swiftlet

#if Server
import SwiftletHub
#endif

package enum ModelArgument {
    /// What a command reads of a model.
    package enum Needs: Sendable {
        case model, withoutWeights
    }

    /// The folder of a model; one of the hub is downloaded if it is not in the cache yet. nil for nil, which is the demo
    /// model.
    ///
    /// - Parameters:
    ///   - revision: Branch, tag or commit of a model of the hub; nil is `main`.
    ///   - quiet: Say nothing on standard error.
    /// - Throws: `LLMError`; what it says is what to do.
    package static func folder(
        of model: String?, revision: String? = nil, needs: Needs = .model, quiet: Bool = false
    ) async throws -> String? {
        #if Server
        if let model, HubModelID(model) != nil, Platform.kind(of: model) == .missing {
            return try await provide(model, revision: revision, needs: needs, quiet: quiet)
        }
        #endif
        return try ModelFiles.folder(of: model, revision: revision, needsWeights: needs == .model)
    }

    #if Server
    private static func provide(
        _ model: String, revision: String?, needs: Needs, quiet: Bool
    ) async throws -> String {
        let found: Result<String?, LLMError> = Result { () throws(LLMError) in
            try ModelFiles.folder(of: model, revision: revision, needsWeights: needs == .model)
        }
        if case .success(let folder?) = found {
            // Other tools may have left the weights without the tokenizer.
            let settings = try HubSettings(environment: Platform.environment)
            if settings.isOffline || Platform.kind(of: folder + "/tokenizer.json") == .regular { return folder }
        }
        if !quiet { Console.note("\(model) is not in the cache: downloading it (Ctrl-C ends that, nothing is lost)") }
        return try await PullRun(
            model: model, revision: revision, contents: needs == .model ? .model : .withoutWeights, quiet: quiet
        ).run()
    }
    #endif
}

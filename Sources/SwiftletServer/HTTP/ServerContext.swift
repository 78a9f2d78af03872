#if Server
// ServerContext: what travels with a request through the router: its connection, its id, its logger.

public import Hummingbird
import Logging
import NIOCore

/// The context of an ``OpenAIServer``'s requests.
public struct ServerContext: RequestContext {
    public var coreContext: CoreRequestContextStorage
    let channel: any Channel
    /// The id that the client gave or that was made: in logs, in `x-request-id` and in the answer's id.
    var requestID = ""

    public init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}
#endif

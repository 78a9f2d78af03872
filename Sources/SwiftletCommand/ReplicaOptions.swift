// ReplicaOptions: how many engines share out a file of requests. For the commands that run many requests at once.
// Invariant: with one replica everything is as without the option.

package import ArgumentParser
import Swiftlet

package struct ReplicaOptions: ParsableArguments {
    @Option(
        name: [.long, .customLong("dp", withSingleDash: true)],
        help: ArgumentHelp(
            "Engines that share out the requests, the threads and the memory (default: 1).", valueName: "count"))
    package var dataParallelSize: Int?

    package init() {}

    package var count: Int { dataParallelSize ?? 1 }

    package func validate() throws {
        guard (1...256).contains(count) else {
            throw ValidationError("--data-parallel-size is \(count); it must be in 1...256.")
        }
    }
}

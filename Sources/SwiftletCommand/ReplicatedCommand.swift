// ReplicatedCommand: a command whose requests several engines share out, in one process or, started by mpirun or srun, in
// as many as there are ranks of all engines. Then the first process reads, deals and writes; the first one of every other
// replica answers lines, and the rest compute with the first of their replica.
// Invariant: how a line is answered is the same code everywhere, so its answer is too.

package import Swiftlet

package protocol ReplicatedCommand: EngineCommand {
    var replicas: ReplicaOptions { get }
    /// What the command sets besides its options.
    func adjust(_ config: inout EngineConfig)
    /// How an engine answers a line.
    func responder(_ llm: LLM) throws -> BatchRun.Respond
}

extension ReplicatedCommand {
    package func adjust(_ config: inout EngineConfig) {}

    /// Joins the processes that were started together, if each engine has processes of its own. Comes first of all: who
    /// ends before it leaves the others waiting for it.
    func join(environment: [String: String]) throws -> MPIWorld? {
        guard replicas.count > 1, LaunchedRanks.current != nil else { return nil }
        return try MPIWorld.start(
            ranks: engine.config.tensorParallelSize, replicas: replicas.count,
            logger: engine.logger(environment: environment))
    }

    /// Loads all engines.
    func load(in world: MPIWorld?, environment: [String: String]) async throws -> Replicas {
        guard let world else {
            return try await engine.load(replicas.count, environment: environment, change: adjust)
        }
        let own = try await engine.load(1, in: world, environment: environment, change: adjust)
        return await Replicas(own.engines[0], others: world) { world, number in
            try DealtAnswer(await world.ask(number, [])).statistics
        }
    }

    /// Answers a line by whichever engine it is dealt to.
    func deal(to engines: Replicas) throws -> BatchRun.Respond {
        let own = try engines.engines.map { (llm: $0, respond: try responder($0)) }
        return { entry in
            try await engines.run { replica in
                switch replica {
                case .engine(let llm): return try await own.first { $0.llm === llm }!.respond(entry)
                case .processes(let world, let number):
                    let answer = try DealtAnswer(await world.ask(number, DealtLine(entry: entry).message))
                    engines.note(answer.statistics, of: number)
                    return answer.answer
                }
            }
        }
    }

    package func follow(environment: [String: String]) async throws {
        guard let world = try join(environment: environment) else {
            return try await engine.follow(environment: environment)
        }
        if world.rankInReplica == 0 {
            let engines = try await engine.load(1, in: world, environment: environment, change: adjust)
            let llm = engines.engines[0]
            let respond = try responder(llm)
            try await world.serve { message in
                // An empty one only asks how this engine is.
                let answer = message.isEmpty ? BatchRun.Answer(line: []) : try await respond(DealtLine(message).entry)
                return DealtAnswer(answer: answer, statistics: llm.statistics).message
            }
            await llm.shutdown()
        } else {
            try await engine.follow(environment: environment, in: world)
        }
        await world.leave()
    }
}

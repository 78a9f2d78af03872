// SimulatorWorkload: a random engine configuration and random requests, made from one seed. Small alphabets and
// shared prefixes, so that prefixes meet; lengths around multiples of the block size, where off-by-one errors live.
//
// Invariant: every request fits the pool when it runs alone, as admission guarantees to the scheduler.

import Swiftlet
import SwiftletTokenizer

struct SimulatedRequest {
    var arrivalStep = 0
    var prompt: [TokenID]
    var maxTokens: Int
    var choiceCount = 1
    var seed: UInt64 = 0
    /// Output depends on the tokens alone, so that equal requests stay equal.
    var isGreedy = true
    var wantsPromptLogprobs = false
    var priority = 0

    var tokenLimit: Int { prompt.count + maxTokens }
    /// The last token is never computed.
    var mostCachedTokens: Int { tokenLimit - 1 }

    var params: SamplingParams {
        SamplingParams(
            n: choiceCount, temperature: isGreedy ? 0 : 1, seed: seed, maxTokens: maxTokens,
            promptLogprobs: wantsPromptLogprobs ? 0 : nil)
    }
}

struct SimulatorWorkload {
    var seed: UInt64
    var blockSize: Int
    var blockCount: Int
    var maxSequences: Int
    var maxBatchedTokens: Int
    var isChunkedPrefillEnabled = true
    var isPrefixCacheEnabled = true
    var alphabetSize = 3
    /// One of so many outputs ends by itself at each token; 0: none does.
    var stopInterval: UInt64 = 0
    /// Of cancelling some live request, before each step.
    var cancelProbability = 0.0
    var requests: [SimulatedRequest]
}

extension SimulatorWorkload {
    /// The scale multiplies the number of requests and their lengths.
    init(seed: UInt64, scale: Int = 1) {
        var random = Generator(seed: seed)
        let blockSize = random.element(of: [1, 2, 2, 4, 4, 4, 16])
        let alphabetSize = random.element(of: [1, 2, 2, 3, 4, 50])
        var requests = Self.requests(&random, blockSize: blockSize, alphabetSize: alphabetSize, scale: scale)
        let longest = requests.map(\.mostCachedTokens).max()!
        let total = requests.reduce(0) { $0 + ($1.mostCachedTokens + blockSize) * $1.choiceCount }

        self.seed = seed
        self.blockSize = blockSize
        self.alphabetSize = alphabetSize
        let tightest = (longest + blockSize - 1) / blockSize
        blockCount = random.element(of: [
            tightest, tightest, tightest + 1, tightest + random.int(0...tightest), 2 * tightest, total / blockSize + 1,
        ])
        isChunkedPrefillEnabled = random.chance(0.7)
        isPrefixCacheEnabled = random.chance(0.8)
        let anyLength = random.int(1...longest)
        maxBatchedTokens =
            isChunkedPrefillEnabled
            ? random.element(of: [1, 2, 7, blockSize, blockSize + 1, anyLength, longest, 4 * longest, 512])
            : longest + random.element(of: [0, 1, anyLength, 4 * longest])
        maxSequences = random.element(of: [1, 2, 3, 4, 6, 16, 16, 16])
        stopInterval = random.element(of: [0, 0, 0, 3, 20])
        cancelProbability = random.element(of: [0, 0, 0.03, 0.1])
        if random.chance(0.3) {
            for index in requests.indices { requests[index].arrivalStep = 0 }
        }
        // From a generator of its own, so that the rest of a seed's workload stays what it was.
        var priorities = Generator(seed: Generator.mix(seed, 3))
        if priorities.chance(0.4) {
            for index in requests.indices { requests[index].priority = priorities.int(0...3) - 1 }
        }
        self.requests = requests
    }

    private static func requests(
        _ random: inout Generator, blockSize: Int, alphabetSize: Int, scale: Int
    ) -> [SimulatedRequest] {
        func tokens(_ count: Int) -> [TokenID] {
            (0..<count).map { _ in TokenID(random.int(0...(alphabetSize - 1))) }
        }
        let longestBase = 3 * blockSize * scale + 1
        let bases = (0..<random.int(1...3)).map { _ in tokens(longestBase) }
        let isGreedy = random.chance(0.5)
        let forks = random.chance(0.3)
        let measures = random.chance(0.2)
        // Short prompts with long outputs are admitted together and outgrow the pool together.
        let mostBlocks = random.chance(0.5) ? 1 : 3 * scale
        let mostTokens = (random.chance(0.5) ? 2 : 6) * blockSize * scale + 2
        let spread = random.int(0...(12 * scale))
        return (0..<random.int(1...(8 * scale))).map { index in
            let blocks = random.int(0...mostBlocks)
            let shared = min(max(blocks * blockSize + random.element(of: [-1, 0, 0, 1]), 0), longestBase)
            var prompt = Array(random.element(of: bases)[..<shared])
            if prompt.isEmpty || random.chance(0.6) { prompt += tokens(random.int(1...(blockSize + 1))) }
            return SimulatedRequest(
                arrivalStep: random.int(0...spread), prompt: prompt,
                maxTokens: random.element(of: [1, blockSize, random.int(1...mostTokens), random.int(1...mostTokens)]),
                choiceCount: forks && random.chance(0.4) ? random.int(2...4) : 1, seed: UInt64(index % 3),
                isGreedy: isGreedy || random.chance(0.2), wantsPromptLogprobs: measures && random.chance(0.5))
        }
    }
}

/// Stands in for a language model: the KV of a position is a hash of the tokens up to it, the next token a function of
/// that KV and of the request alone.
enum EmulatedModel {
    static let emptyPrefix: UInt64 = 0x5EED

    static func keyValue(after previous: UInt64, _ token: TokenID) -> UInt64 {
        Generator.mix(previous, UInt64(UInt32(bitPattern: token)))
    }

    static func nextToken(
        _ keyValue: UInt64, _ request: SimulatedRequest, choice: Int, _ workload: SimulatorWorkload
    ) -> (token: TokenID, isStop: Bool) {
        let key = request.isGreedy ? 0 : Generator.mix(request.seed, UInt64(choice) + 1)
        let draw = Generator.mix(keyValue, key)
        let isStop = workload.stopInterval != 0 && (draw >> 32) % workload.stopInterval == 0
        return (TokenID(draw % UInt64(workload.alphabetSize)), isStop)
    }

    /// The naive engine: one choice of one request, alone, without blocks, batches or caches.
    static func output(of request: SimulatedRequest, choice: Int, _ workload: SimulatorWorkload) -> [TokenID] {
        var keyValue = request.prompt.reduce(emptyPrefix) { Self.keyValue(after: $0, $1) }
        var output: [TokenID] = []
        while output.count < request.maxTokens {
            let next = nextToken(keyValue, request, choice: choice, workload)
            output.append(next.token)
            if next.isStop { break }
            keyValue = Self.keyValue(after: keyValue, next.token)
        }
        return output
    }
}

// Platform: the cores that this process may use and the memory that is near to each, from /sys/devices/system.
// Asked once, when an engine starts. The files can be named for tests.
// Invariant: a processor about which the system says nothing is a core of its own, on node 0; nothing here fails.

import CSwiftletKernels

extension Platform {
    /// A physical core, by the first of its hardware threads that this process may use: a second thread on the same
    /// core has no arithmetic units of its own.
    package struct Core: Sendable, Hashable {
        package var processor: Int
        /// Of memory, numbered from 0 on without gaps.
        package var node: Int

        package init(processor: Int, node: Int) {
            self.processor = processor
            self.node = node
        }
    }

    /// The cores in the affinity mask, node by node.
    package static func cores(
        status: String = "/proc/self/status", system: String = "/sys/devices/system"
    ) -> [Core] {
        guard let allowed = affinity(status: status).map(processors(inList:)), !allowed.isEmpty else {
            return (0..<onlineProcessorCount()).map { Core(processor: $0, node: 0) }
        }
        let isAllowed = Set(allowed)
        let nodes = memoryNodes(system)
        let cores = allowed.filter { processor in
            let siblings = list("\(system)/cpu/cpu\(processor)/topology/thread_siblings_list")
            return siblings.filter { isAllowed.contains($0) }.min().map { $0 == processor } ?? true
        }.map { Core(processor: $0, node: nodes[$0] ?? 0) }
        let used = Set(cores.map(\.node)).sorted()
        return cores.map { core in
            Core(
                processor: core.processor,
                node: min(used.firstIndex(of: core.node) ?? 0, Int(SWIFTLET_MAX_NODES) - 1))
        }.sorted { ($0.node, $0.processor) < ($1.node, $1.processor) }
    }

    /// Whether somebody has given this process fewer processors than there are.
    static var isBound: Bool {
        affinity().map { processors(inList: $0).count < onlineProcessorCount() } ?? false
    }

    /// The node of each processor.
    private static func memoryNodes(_ system: String) -> [Int: Int] {
        var nodes: [Int: Int] = [:]
        for name in listDirectory(system + "/node") ?? [] where name.hasPrefix("node") {
            guard let node = Int(name.dropFirst(4)) else { continue }
            for processor in list("\(system)/node/\(name)/cpulist") { nodes[processor] = node }
        }
        return nodes
    }

    private static func list(_ path: String) -> [Int] {
        guard kind(of: path) == .regular, let bytes = try? readFile(path, limit: 1 << 16) else { return [] }
        return processors(inList: String(decoding: bytes, as: UTF8.self))
    }

    /// The numbers of a list such as `0-3,8`.
    static func processors(inList text: String) -> [Int] {
        let most = 1 << 16
        return text.split { $0 == "," || $0.isWhitespace }.flatMap { range -> [Int] in
            let ends = range.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int($0) }
            guard let first = ends[0], let last = ends[ends.count - 1], first >= 0, first <= last, last < most else {
                return []
            }
            return Array(first...last)
        }
    }
}

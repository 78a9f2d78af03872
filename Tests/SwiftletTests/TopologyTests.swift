// Cores and memory nodes, from files as Linux shows them on machines that are not at hand.

import Swiftlet
import Testing

#if os(Linux)
@Suite("Cores and memory nodes")
struct TopologyTests {
    /// Makes a folder like /sys/devices/system with this in it and looks at it.
    private func cores(
        allowed: String, siblings: [Int: String], nodes: [Int: String], quota: String = "max 100000"
    ) throws -> (cores: [Platform.Core], count: Int) {
        var found: (cores: [Platform.Core], count: Int) = ([], 0)
        try LoaderFixtures.withDirectory { root in
            func write(_ path: String, _ text: String) throws {
                try LoaderFixtures.write(text + "\n", root + "/" + path)
            }
            try write("status", "Name:\tx\nCpus_allowed_list:\t\(allowed)")
            for (processor, list) in siblings {
                try write("cpu/cpu\(processor)/topology/thread_siblings_list", list)
            }
            try write("node/possible", "0-7")
            for (node, list) in nodes { try write("node/node\(node)/cpulist", list) }
            try write("self", "0::/")
            try write("cpu.max", quota)
            let groups = ControlGroups(membership: root + "/self", root: root)
            found.cores = Platform.cores(status: root + "/status", system: root)
            found.count = Platform.coreCount(status: root + "/status", system: root, cgroups: groups)
        }
        return found
    }

    private func cores(_ numbers: [Int], node: Int = 0) -> [Platform.Core] {
        numbers.map { Platform.Core(processor: $0, node: node) }
    }

    @Test("Two sockets, two threads a core: each core once, one socket after the other")
    func twoSockets() throws {
        // As Linux numbers them: all first threads, then all second ones.
        let siblings = Dictionary(uniqueKeysWithValues: (0..<16).map { ($0, "\($0 % 8),\($0 % 8 + 8)") })
        for (quota, count) in [("max 100000", 8), ("250000 100000", 3)] {
            let found = try cores(
                allowed: "0-15", siblings: siblings, nodes: [0: "0-3,8-11", 1: "4-7,12-15"], quota: quota)
            #expect(found.cores == cores([0, 1, 2, 3]) + cores([4, 5, 6, 7], node: 1))
            #expect(found.count == count)
        }
    }

    @Test("Odd and even processors on different nodes are put together")
    func interleaved() throws {
        let siblings = Dictionary(uniqueKeysWithValues: (0..<6).map { ($0, "\($0)") })
        let found = try cores(allowed: "0-5", siblings: siblings, nodes: [0: "0,2,4", 1: "1,3,5"])
        #expect(found.cores == cores([0, 2, 4]) + cores([1, 3, 5], node: 1))
    }

    @Test("The affinity mask decides: cores of which only the second thread may be used, nodes without gaps")
    func mask() throws {
        let siblings = Dictionary(uniqueKeysWithValues: (0..<16).map { ($0, "\($0 & ~1)-\($0 | 1)") })
        let nodes = [0: "0-3", 1: "4-7", 2: "8-11", 5: "12-15"]
        let found = try cores(allowed: "1,5-7,12-13", siblings: siblings, nodes: nodes)
        #expect(found.cores == cores([1]) + cores([5, 6], node: 1) + cores([12], node: 2))
    }

    @Test("Where the system says nothing, or nonsense, each processor is a core on one node")
    func silence() throws {
        #expect(try cores(allowed: "0-2,9", siblings: [:], nodes: [:]).cores == cores([0, 1, 2, 9]))
        let odd = [0: "x", 1: "9-3,-,1-99999999"]
        #expect(try cores(allowed: "0-1", siblings: odd, nodes: [0: "", 1: "1-"]).cores == cores([0, 1]))
        #expect(Platform.cores(status: "/nonexistent", system: "/nonexistent").count >= 1)
    }

    @Test("More nodes than a pool tells apart share the last one")
    func manyNodes() throws {
        let nodes = Dictionary(uniqueKeysWithValues: (0..<20).map { ($0, "\($0)") })
        let found = try cores(allowed: "0-19", siblings: [:], nodes: nodes).cores
        #expect(found.map(\.node) == Array(0..<16) + [15, 15, 15, 15])
    }

    @Test("This machine has cores")
    func here() {
        #expect(Platform.cores().count >= 1 && Platform.cores().map(\.node).min() == 0)
    }
}
#endif

// ControlGroups: what Linux's cgroups let this process use, read from /proc/self/cgroup and /sys/fs/cgroup.
// A limit holds for everything below it, so each is looked for from the process's own group up to the root of what
// can be seen (inside a container the path of /proc/self/cgroup often does not exist: then the root is the group).
// Invariant: an unreadable or odd file is no limit; nothing here fails.

package struct ControlGroups: Sendable {
    private let membership: String
    private let root: String

    /// The files can be named for tests.
    package init(membership: String = "/proc/self/cgroup", root: String = "/sys/fs/cgroup") {
        self.membership = membership
        self.root = root
    }

    /// Bytes that the tightest group may have; nil: no limit.
    package func memoryLimit() -> Int? {
        groups(controller: "memory")
            .compactMap { number($0.path + ($0.isUnified ? "/memory.max" : "/memory.limit_in_bytes")) }
            .filter { $0 < 1 << 60 }
            .min()
    }

    /// Bytes that the tightest group has left, page cache that the kernel can drop counted as left; nil: no limit.
    package func availableMemory() -> Int? {
        groups(controller: "memory").compactMap { group in
            let isUnified = group.isUnified
            guard let limit = number(group.path + (isUnified ? "/memory.max" : "/memory.limit_in_bytes")),
                // Version 1 writes "no limit" as the largest multiple of a page.
                limit < 1 << 60,
                let used = number(group.path + (isUnified ? "/memory.current" : "/memory.usage_in_bytes"))
            else { return nil }
            let droppable = statistic(isUnified ? "inactive_file" : "total_inactive_file", of: group.path) ?? 0
            return max(0, limit - max(0, used - max(0, droppable)))
        }.min()
    }

    /// Processors' worth of time that the tightest group may use; nil: no limit.
    package func processorQuota() -> Double? {
        groups(controller: "cpu").compactMap { group -> Double? in
            let quota: Double?
            let period: Double?
            if group.isUnified {
                let fields = text(group.path + "/cpu.max")?.split(separator: " ") ?? []
                quota = fields.first.flatMap { Double($0) }
                period = fields.dropFirst().first.flatMap { Double($0) }
            } else {
                quota = text(group.path + "/cpu.cfs_quota_us").flatMap { Double($0) }
                period = text(group.path + "/cpu.cfs_period_us").flatMap { Double($0) }
            }
            guard let quota, let period, quota > 0, period > 0, (quota / period).isFinite else { return nil }
            return quota / period
        }.min()
    }

    /// The directories of the process's group and of those above it, for one controller.
    private func groups(controller: String) -> [(path: String, isUnified: Bool)] {
        var found: [(path: String, isUnified: Bool)] = []
        // Lines are "hierarchy:controllers:path"; the unified hierarchy (version 2) names no controllers.
        for line in (text(membership) ?? "").split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains(Substring(controller)) else { continue }
            let mount = isUnified ? root : "\(root)/\(fields[1])"
            var components = fields[2].split(separator: "/")
            guard !components.contains("..") else { continue }
            while true {
                let path = components.isEmpty ? mount : "\(mount)/\(components.joined(separator: "/"))"
                found.append((path, isUnified))
                if components.popLast() == nil { break }
            }
        }
        return found
    }

    private func text(_ path: String) -> String? {
        guard Platform.kind(of: path) == .regular, let bytes = try? Platform.readFile(path, limit: 1 << 16) else {
            return nil
        }
        let text = String(decoding: bytes, as: UTF8.self)
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }

    private func number(_ path: String) -> Int? { text(path).flatMap { Int($0) } }

    private func statistic(_ name: String, of group: String) -> Int? {
        text(group + "/memory.stat")?.split(separator: "\n")
            .first { $0.hasPrefix(name + " ") }
            .flatMap { Int($0.dropFirst(name.utf8.count + 1)) }
    }
}

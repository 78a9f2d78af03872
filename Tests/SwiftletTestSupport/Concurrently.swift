// Work of a test that is shared out: tests run one at a time, and many of them use one processor.

/// Runs `body` for each item, two at a time, in their order.
public func twoAtATime<Item: Sendable>(
    _ items: some Sequence<Item>, _ body: @escaping @Sendable (Item) async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for (index, item) in items.enumerated() {
            if index >= 2 { try await group.next() }
            group.addTask { try await body(item) }
        }
        try await group.waitForAll()
    }
}

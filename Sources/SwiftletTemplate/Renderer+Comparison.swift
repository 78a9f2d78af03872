// Python's ==, <, in and truth, over values of any type.
// Invariant: comparing is charged by what is looked at, so shared structures can't make it run for ever.

extension Renderer {
    func compare(_ op: ComparisonOperator, _ left: Value, _ right: Value) throws(TemplateError) -> Bool {
        switch op {
        case .equal: try areEqual(left, right)
        case .notEqual: !(try areEqual(left, right))
        case .less: try isLess(left, right, "<")
        case .greater: try isLess(right, left, ">", isSwapped: true)
        case .lessOrEqual: try isLess(left, right, "<=", orEqual: true)
        case .greaterOrEqual: try isLess(right, left, ">=", orEqual: true, isSwapped: true)
        case .in: try contains(right, left)
        case .notIn: !(try contains(right, left))
        }
    }

    // MARK: Equality

    func areEqual(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
        try charge()
        switch (left, right) {
        case (.string(let left), .string(let right)): return left == right
        case (.none, .none), (.undefined, .undefined): return true
        case (.int(let left), .int(let right)): return left == right
        case (.wide(let left), .wide(let right)): return left == right
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            if left === right { return true }
            return try areEqual(left.values, right.values)
        case (.dict(let left), .dict(let right)): return try areEqual(left, right)
        case (.range(let left), .range(let right)):
            return left.count == right.count
                && (left.count == 0 || left.start == right.start && (left.count == 1 || left.step == right.step))
        case (.view(let left), .view(let right)) where left.kind == right.kind && left.kind != .values:
            guard left.count == right.count else { return false }
            for position in 0..<left.count where !(try contains(.view(right), left.value(at: position))) {
                return false
            }
            return true
        default: break
        }
        if let left = left.integer, let right = right.integer { return left == right }
        if let integer = left.integer, case .float(let number) = right { return isEqual(integer, number) }
        if let integer = right.integer, case .float(let number) = left { return isEqual(integer, number) }
        if let left = left.number, let right = right.number { return left == right }
        return isSame(left, right)
    }

    private func isEqual(_ integer: Int, _ number: Double) -> Bool { Int(exactly: number) == integer }

    func areEqual(_ left: [Value], _ right: [Value]) throws(TemplateError) -> Bool {
        guard left.count == right.count else { return false }
        return try nested { () throws(TemplateError) in
            for (left, right) in zip(left, right) where !(try areEqual(left, right)) { return false }
            return true
        }
    }

    private func areEqual(_ left: OrderedMap, _ right: OrderedMap) throws(TemplateError) -> Bool {
        if left === right { return true }
        guard left.count == right.count else { return false }
        return try nested { () throws(TemplateError) in
            for (key, value) in zip(left.keys, left.values) {
                guard let other = try right.value(for: key), try areEqual(value, other) else { return false }
            }
            return true
        }
    }

    /// Python's `is`, as far as it can be told apart.
    func isSame(_ left: Value, _ right: Value) -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.bool(let left), .bool(let right)): left == right
        case (.int(let left), .int(let right)): left == right
        case (.float(let left), .float(let right)): left == right
        case (.string(let left), .string(let right)): left == right && left.isMarkup == right.isMarkup
        case (.list(let left), .list(let right)): left === right
        case (.tuple(let left), .tuple(let right)): left === right || left.values.isEmpty && right.values.isEmpty
        case (.dict(let left), .dict(let right)): left === right
        case (.undefined(let left), .undefined(let right)): left === right
        case (.range(let left), .range(let right)): left === right
        case (.view(let left), .view(let right)): left === right
        case (.iterator(let left), .iterator(let right)): left === right
        case (.namespace(let left), .namespace(let right)): left === right
        case (.loop(let left), .loop(let right)): left === right
        case (.macro(let left), .macro(let right)): left === right
        case (.function(let left), .function(let right)): left.isSame(as: right)
        case (.cycler(let left), .cycler(let right)): left === right
        case (.joiner(let left), .joiner(let right)): left === right
        default: false
        }
    }

    // MARK: Order

    private func isLess(
        _ left: Value, _ right: Value, _ sign: String, orEqual: Bool = false, isSwapped: Bool = false
    ) throws(TemplateError) -> Bool {
        try charge()
        switch (left, right) {
        case (.string(let left), .string(let right)): return left < right || orEqual && left == right
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            return try nested { () throws(TemplateError) in
                for (left, right) in zip(left.values, right.values) where !(try areEqual(left, right)) {
                    return try isLess(left, right, sign, orEqual: orEqual, isSwapped: isSwapped)
                }
                return orEqual ? left.values.count <= right.values.count : left.values.count < right.values.count
            }
        case (.undefined(let undefined), _), (_, .undefined(let undefined)): throw undefined.error
        default: break
        }
        if let left = left.integer, let right = right.integer { return orEqual ? left <= right : left < right }
        if let left = left.number, let right = right.number { return orEqual ? left <= right : left < right }
        if case .view(let first) = left, case .view(let second) = right, first.kind != .values, second.kind != .values {
            for position in 0..<first.count where !(try contains(right, first.value(at: position))) { return false }
            return orEqual || first.count < second.count
        }
        let (first, second) = isSwapped ? (right, left) : (left, right)
        throw .type(
            "'\(sign)' not supported between instances of '\(first.typeName)' and '\(second.typeName)'")
    }

    func isLess(_ left: Value, _ right: Value) throws(TemplateError) -> Bool { try isLess(left, right, "<") }

    /// A stable sort by keys.
    func sorted(_ values: [Value], by keys: [Value], reversed: Bool) throws(TemplateError) -> [Value] {
        try charge(bytes: 32 * values.count)
        var order = Array(values.indices)
        var buffer = order
        var width = 1
        while width < order.count {
            for start in stride(from: 0, to: order.count, by: 2 * width) {
                let middle = min(start + width, order.count)
                let end = min(start + 2 * width, order.count)
                var (left, right) = (start, middle)
                for position in start..<end {
                    let takesRight: Bool
                    if left == middle {
                        takesRight = true
                    } else if right == end {
                        takesRight = false
                    } else if reversed {
                        takesRight = try isLess(keys[order[left]], keys[order[right]])
                    } else {
                        takesRight = try isLess(keys[order[right]], keys[order[left]])
                    }
                    buffer[position] = order[takesRight ? right : left]
                    if takesRight { right += 1 } else { left += 1 }
                }
            }
            swap(&order, &buffer)
            width *= 2
        }
        return order.map { values[$0] }
    }

    // MARK: Membership and truth

    /// Python's `value in container`.
    func contains(_ container: Value, _ value: Value) throws(TemplateError) -> Bool {
        switch container {
        case .string(let text):
            guard case .string(let part) = value else {
                throw .type("'in <string>' requires string as left operand, not \(value.typeName)")
            }
            try charge(bytes: text.bytes.count >> 4)
            return text.contains(part)
        case .dict(let map): return try map.value(for: value) != nil
        case .view(let view) where view.kind == .keys: return try view.map.value(for: value) != nil
        case .range(let range):
            guard let integer = value.integer ?? value.number.flatMap({ Int(exactly: $0) }) else { return false }
            let (distance, overflow) = integer.subtractingReportingOverflow(range.start)
            guard !overflow, range.count > 0, distance % range.step == 0 else { return false }
            return (0..<range.count).contains(distance / range.step)
        default:
            switch try iteration(over: container, called: "argument of type '\(container.typeName)' is not iterable") {
            case .values(let values):
                for element in values where try areEqual(element, value) { return true }
            case .lazy(let iterator):
                while let element = try iterator.next() {
                    if try areEqual(element, value) { return true }
                }
            }
            return false
        }
    }

    func isTrue(_ value: Value) throws(TemplateError) -> Bool {
        switch value {
        case .missing, .undefined, .none: false
        case .bool(let flag): flag
        case .int(let integer): integer != 0
        case .wide: true
        case .float(let number): number != 0
        case .string(let text): !text.isEmpty
        case .list(let elements), .tuple(let elements): !elements.values.isEmpty
        case .dict(let map): map.count > 0
        case .range(let range): range.count > 0
        case .view(let view): view.count > 0
        case .loop(let loop): try loop.length() > 0
        case .iterator, .namespace, .macro, .function, .cycler, .joiner: true
        }
    }

    // MARK: Iteration

    func iteration(over value: Value, called message: String? = nil) throws(TemplateError) -> Iteration {
        switch value {
        case .list(let elements), .tuple(let elements): return .values(elements.values)
        case .missing, .undefined: return .values([])
        case .iterator(let iterator): return .lazy(iterator)
        case .string(let text):
            try charge(bytes: 32 * text.bytes.count)
            return .values(text.elements.map { .string($0) })
        case .dict(let map): return .values(map.keys)
        case .range(let range):
            try charge(elements: range.count, depth: 1)
            return .values((0..<range.count).map { .int(range.value(at: $0)) })
        case .view(let view):
            try charge(elements: view.count, depth: 1)
            return .values((0..<view.count).map { view.value(at: $0) })
        case .loop(let loop):
            return .lazy(
                ValueIterator("LoopContext") { () throws(TemplateError) in
                    try loop.next().map { .tuple(Elements([$0, .loop(loop)])) }
                })
        case .none, .bool, .int, .wide, .float, .namespace, .macro, .function, .cycler, .joiner:
            throw .type(message ?? "'\(value.typeName)' object is not iterable")
        }
    }

    /// All elements of what can be iterated.
    func elements(of value: Value, called message: String? = nil) throws(TemplateError) -> [Value] {
        switch try iteration(over: value, called: message) {
        case .values(let values): return values
        case .lazy(let iterator):
            var values: [Value] = []
            while let value = try iterator.next() {
                try charge(bytes: 16)
                values.append(value)
            }
            return values
        }
    }

    /// Python's `len`.
    func length(of value: Value) throws(TemplateError) -> Int {
        switch value {
        case .missing, .undefined: 0
        case .string(let text): text.count
        case .list(let elements), .tuple(let elements): elements.values.count
        case .dict(let map): map.count
        case .range(let range): range.count
        case .view(let view): view.count
        case .loop(let loop): try loop.length()
        default: throw .type("object of type '\(value.typeName)' has no len()")
        }
    }
}

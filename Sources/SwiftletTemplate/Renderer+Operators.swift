// Python's arithmetic. Integers are 64 bits wide: what does not fit is an error, not another number.
// Invariant: an operation that makes something large is charged before it is made.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension Renderer {
    func binary(_ op: BinaryOperator, _ left: Value, _ right: Value) throws(TemplateError) -> Value {
        switch (left, right) {
        case (.undefined(let undefined), _): throw undefined.error
        case (.string(let text), _) where op == .modulo:
            return .string(try printf(text, right))
        case (_, .undefined(let undefined)): throw undefined.error
        case (.int(let left), .int(let right)): return try integers(op, left, right)
        default: break
        }
        if let left = left.integer, let right = right.integer { return try integers(op, left, right) }
        if case .wide = left { throw tooLarge() }
        if case .wide = right { throw tooLarge() }
        if let left = left.number, let right = right.number { return .float(try floats(op, left, right)) }
        return try sequences(op, left, right)
    }

    private func tooLarge() -> TemplateError { .limit("an integer is larger than the limit of 64 bits") }

    private func integers(_ op: BinaryOperator, _ left: Int, _ right: Int) throws(TemplateError) -> Value {
        let result: (partialValue: Int, overflow: Bool)
        switch op {
        case .add: result = left.addingReportingOverflow(right)
        case .subtract: result = left.subtractingReportingOverflow(right)
        case .multiply: result = left.multipliedReportingOverflow(by: right)
        case .divide:
            if right == 0 { throw .type("division by zero") }
            return .float(Double(left) / Double(right))
        case .floorDivide, .modulo:
            if right == 0 {
                throw .type(op == .modulo ? "integer modulo by zero" : "integer division or modulo by zero")
            }
            if right == -1 {
                // The one quotient that can overflow.
                return op == .modulo ? .int(0) : try integers(.subtract, 0, left)
            }
            let (quotient, remainder) = left.quotientAndRemainder(dividingBy: right)
            let isRoundedUp = remainder != 0 && (remainder < 0) != (right < 0)
            return .int(op == .modulo ? remainder + (isRoundedUp ? right : 0) : quotient - (isRoundedUp ? 1 : 0))
        case .power: return try power(left, right)
        }
        if result.overflow { throw tooLarge() }
        return .int(result.partialValue)
    }

    private func power(_ base: Int, _ exponent: Int) throws(TemplateError) -> Value {
        if exponent < 0 { return .float(try floats(.power, Double(base), Double(exponent))) }
        var result = 1
        var square = base
        var remaining = exponent
        while remaining > 0 {
            if remaining & 1 == 1 {
                let (product, overflow) = result.multipliedReportingOverflow(by: square)
                if overflow { throw tooLarge() }
                result = product
            }
            remaining >>= 1
            if remaining > 0 {
                let (product, overflow) = square.multipliedReportingOverflow(by: square)
                if overflow { throw tooLarge() }
                square = product
            }
        }
        return .int(result)
    }

    private func floats(_ op: BinaryOperator, _ left: Double, _ right: Double) throws(TemplateError) -> Double {
        switch op {
        case .add: return left + right
        case .subtract: return left - right
        case .multiply: return left * right
        case .divide:
            if right == 0 { throw .type("float division by zero") }
            return left / right
        case .floorDivide, .modulo:
            if right == 0 { throw .type(op == .modulo ? "float modulo" : "float floor division by zero") }
            let (quotient, remainder) = Renderer.floorDivision(left, right)
            return op == .modulo ? remainder : quotient
        case .power:
            if left == 0, right < 0 { throw .type("0.0 cannot be raised to a negative power") }
            if left < 0, left.isFinite, right != right.rounded() {
                throw .type("a negative number to the power of a fraction is complex, which is not supported")
            }
            let result = pow(left, right)
            if result.isInfinite, left.isFinite, right.isFinite { throw .type("(34, 'Numerical result out of range')") }
            return result
        }
    }

    /// Quotient and remainder as Python defines them for floats: the remainder has the divisor's sign.
    private static func floorDivision(_ left: Double, _ right: Double) -> (Double, Double) {
        var remainder = fmod(left, right)
        var quotient = (left - remainder) / right
        if remainder != 0 {
            if (right < 0) != (remainder < 0) {
                remainder += right
                quotient -= 1
            }
        } else {
            remainder = right < 0 ? -0.0 : 0.0
        }
        if quotient == 0 { return (left / right < 0 ? -0.0 : 0.0, remainder) }
        let floor = quotient.rounded(.down)
        return (quotient - floor > 0.5 ? floor + 1 : floor, remainder)
    }

    private func sequences(_ op: BinaryOperator, _ left: Value, _ right: Value) throws(TemplateError) -> Value {
        switch (op, left, right) {
        case (.add, .string(let left), .string(let right)): return .string(try concatenated(left, right))
        case (.add, .list(let left), .list(let right)):
            try charge(elements: left.values.count + right.values.count, depth: max(left.depth, right.depth))
            return .list(Elements(left.values + right.values))
        case (.add, .tuple(let left), .tuple(let right)):
            try charge(elements: left.values.count + right.values.count, depth: max(left.depth, right.depth))
            return .tuple(Elements(left.values + right.values))
        case (.add, .string, _):
            throw .type("can only concatenate str (not \"\(right.typeName)\") to str")
        case (.add, .list, _): throw .type("can only concatenate list (not \"\(right.typeName)\") to list")
        case (.add, .tuple, _): throw .type("can only concatenate tuple (not \"\(right.typeName)\") to tuple")
        case (.multiply, .string, _), (.multiply, .list, _), (.multiply, .tuple, _):
            if let count = right.integer { return try repeated(left, count) }
            throw .type("can't multiply sequence by non-int of type '\(right.typeName)'")
        case (.multiply, _, .string), (.multiply, _, .list), (.multiply, _, .tuple):
            if let count = left.integer { return try repeated(right, count) }
            throw .type("can't multiply sequence by non-int of type '\(left.typeName)'")
        default:
            throw .type(
                "unsupported operand type(s) for \(op.rawValue): '\(left.typeName)' and '\(right.typeName)'")
        }
    }

    /// Joined; when one is markup, the other is escaped.
    func concatenated(_ left: Text, _ right: Text) throws(TemplateError) -> Text {
        try charge(bytes: left.bytes.count + right.bytes.count)
        if !left.isMarkup, !right.isMarkup { return left + right }
        return (left.htmlEscaped + right.htmlEscaped).marked(true)
    }

    private func repeated(_ value: Value, _ count: Int) throws(TemplateError) -> Value {
        let count = max(0, count)
        func charge(_ size: Int) throws(TemplateError) {
            let (total, overflow) = size.multipliedReportingOverflow(by: count)
            try self.charge(bytes: overflow ? .max : total)
        }
        switch value {
        case .string(let text):
            try charge(text.bytes.count)
            var bytes: [UInt8] = []
            bytes.reserveCapacity(text.bytes.count * count)
            if !text.isEmpty { for _ in 0..<count { bytes += text.bytes } }
            return .string(Text(utf8: bytes, isMarkup: text.isMarkup))
        case .list(let elements), .tuple(let elements):
            try charge(elements.values.count * 16)
            var values: [Value] = []
            if !elements.values.isEmpty { for _ in 0..<count { values += elements.values } }
            if case .list = value { return .list(Elements(values)) }
            return .tuple(Elements(values))
        default: preconditionFailure("only sequences are repeated")
        }
    }

    func sign(isNegative: Bool, _ value: Value) throws(TemplateError) -> Value {
        if case .undefined(let undefined) = value { throw undefined.error }
        if let integer = value.integer { return isNegative ? try integers(.subtract, 0, integer) : .int(integer) }
        if case .float(let number) = value { return .float(isNegative ? -number : number) }
        if case .wide(let digits) = value {
            if !isNegative { return value }
            let negative = "-" + digits.string
            return Int(negative).map { .int($0) }
                ?? .wide(digits.hasPrefix("-") ? digits.slice(1..<digits.count) : Text(negative))
        }
        throw .type("bad operand type for unary \(isNegative ? "-" : "+"): '\(value.typeName)'")
    }
}

// The filters and tests of Jinja 3.1 by name, with `tojson` as transformers has it.
// Invariant: a name that is not here is refused when the template is parsed, or, under a condition, when it is reached.

enum FilterName: String, Sendable {
    case abs, attr, batch, capitalize, center, count, d, `default`, dictsort, e, escape, filesizeformat, first, float
    case forceescape, format, groupby, indent, int, items, join, last, length, list, lower, map, max, min, pprint
    case random, reject, rejectattr, replace, reverse, round, safe, select, selectattr, slice, sort, string, striptags
    case sum, title, tojson, trim, truncate, unique, upper, urlencode, urlize, wordcount, wordwrap, xmlattr
}

enum TestName: Sendable {
    case odd, even, divisibleby, defined, undefined, filter, test, none, boolean, `false`, `true`, integer, float
    case lower, upper, string, mapping, number, sequence, iterable, callable, sameas, escaped, `in`
    case equal, notEqual, greater, greaterOrEqual, less, lessOrEqual

    init?(name: Text) {
        switch name.string {
        case "odd": self = .odd
        case "even": self = .even
        case "divisibleby": self = .divisibleby
        case "defined": self = .defined
        case "undefined": self = .undefined
        case "filter": self = .filter
        case "test": self = .test
        case "none": self = .none
        case "boolean": self = .boolean
        case "false": self = .false
        case "true": self = .true
        case "integer": self = .integer
        case "float": self = .float
        case "lower": self = .lower
        case "upper": self = .upper
        case "string": self = .string
        case "mapping": self = .mapping
        case "number": self = .number
        case "sequence": self = .sequence
        case "iterable": self = .iterable
        case "callable": self = .callable
        case "sameas": self = .sameas
        case "escaped": self = .escaped
        case "in": self = .in
        case "==", "eq", "equalto": self = .equal
        case "!=", "ne": self = .notEqual
        case ">", "gt", "greaterthan": self = .greater
        case ">=", "ge": self = .greaterOrEqual
        case "<", "lt", "lessthan": self = .less
        case "<=", "le": self = .lessOrEqual
        default: return nil
        }
    }

    var comparison: ComparisonOperator? {
        switch self {
        case .equal: .equal
        case .notEqual: .notEqual
        case .greater: .greater
        case .greaterOrEqual: .greaterOrEqual
        case .less: .less
        case .lessOrEqual: .lessOrEqual
        default: nil
        }
    }

    /// What it takes beside the value.
    var parameters: [String] {
        switch self {
        case .divisibleby: ["num"]
        case .sameas: ["other"]
        case .in: ["seq"]
        default: comparison == nil ? [] : ["b"]
        }
    }
}

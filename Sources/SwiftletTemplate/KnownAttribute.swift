// The attributes that Python's types and Jinja's objects have. A dictionary's own attributes hide its keys
// (`message.items` is the method), so which type has which is part of what a template means.
// Stateless; a template's names are looked up here once, when it is parsed.
// Invariant: complete for the types of ``Value`` as Python 3.11 has them, except for names with underscores in front.

enum KnownAttribute: String, Sendable {
    // Strings.
    case capitalize, casefold, center, count, encode, endswith, expandtabs, find, format, index, isalnum, isalpha
    case formatMap = "format_map"
    case isascii, isdecimal, isdigit, isidentifier, islower, isnumeric, isprintable, isspace, istitle, isupper, join
    case ljust, lower, lstrip, maketrans, partition, removeprefix, removesuffix, replace, rfind, rindex, rjust
    case rpartition, rsplit, rstrip, split, splitlines, startswith, strip, swapcase, title, translate, upper, zfill
    // Markup.
    case escape, striptags, unescape
    // Dictionaries.
    case clear, copy, fromkeys, get, items, keys, pop, popitem, setdefault, update, values
    // Lists.
    case append, extend, insert, remove, reverse, sort
    // Numbers.
    case conjugate, denominator, fromhex, hex, imag, numerator, real
    case asIntegerRatio = "as_integer_ratio"
    case bitCount = "bit_count"
    case bitLength = "bit_length"
    case fromBytes = "from_bytes"
    case isInteger = "is_integer"
    case toBytes = "to_bytes"
    // Ranges and views.
    case start, stop, step, isdisjoint, mapping
    // Generators.
    case close, send, `throw`
    case generatorFrame = "gi_frame"
    // Loops.
    case index0, revindex, revindex0, first, last, length, previtem, nextitem, cycle, changed, depth, depth0
    // Macros, cyclers, joiners, groups.
    case name, arguments, caller, current, next, reset, sep, used, grouper, list
    case catchKeywords = "catch_kwargs"
    case catchArguments = "catch_varargs"
    case explicitCaller = "explicit_caller"
    case position = "pos"

    var isOfText: Bool {
        switch self {
        case .capitalize, .casefold, .center, .count, .encode, .endswith, .expandtabs, .find, .format, .formatMap,
            .index, .isalnum, .isalpha, .isascii, .isdecimal, .isdigit, .isidentifier, .islower, .isnumeric,
            .isprintable, .isspace, .istitle, .isupper, .join, .ljust, .lower, .lstrip, .maketrans, .partition,
            .removeprefix, .removesuffix, .replace, .rfind, .rindex, .rjust, .rpartition, .rsplit, .rstrip, .split,
            .splitlines, .startswith, .strip, .swapcase, .title, .translate, .upper, .zfill:
            true
        default: false
        }
    }

    var isOfMarkup: Bool { self == .escape || self == .striptags || self == .unescape || isOfText }

    var isOfDictionary: Bool {
        switch self {
        case .clear, .copy, .fromkeys, .get, .items, .keys, .pop, .popitem, .setdefault, .update, .values: true
        default: false
        }
    }

    var isOfList: Bool {
        switch self {
        case .append, .clear, .copy, .count, .extend, .index, .insert, .pop, .remove, .reverse, .sort: true
        default: false
        }
    }

    var isOfTuple: Bool { self == .count || self == .index }

    var isOfInteger: Bool {
        switch self {
        case .asIntegerRatio, .bitCount, .bitLength, .conjugate, .denominator, .fromBytes, .imag, .numerator, .real,
            .toBytes:
            true
        default: false
        }
    }

    var isOfFloat: Bool {
        switch self {
        case .asIntegerRatio, .conjugate, .fromhex, .hex, .imag, .isInteger, .real: true
        default: false
        }
    }

    var isOfRange: Bool {
        switch self {
        case .count, .index, .start, .stop, .step: true
        default: false
        }
    }

    /// What would change a list or dictionary, which the sandbox refuses.
    func changes(_ value: Value) -> Bool {
        switch (value, self) {
        case (.list, .append), (.list, .clear), (.list, .pop), (.list, .reverse), (.list, .insert), (.list, .sort),
            (.list, .extend), (.list, .remove), (.dict, .clear), (.dict, .pop), (.dict, .popitem),
            (.dict, .setdefault), (.dict, .update):
            true
        default: false
        }
    }

    /// Whether a value has the attribute by its type.
    func isAttribute(of value: Value) -> Bool {
        switch value {
        case .string(let text): text.isMarkup ? isOfMarkup : isOfText
        case .dict: isOfDictionary
        case .list: isOfList
        case .tuple(let elements): isOfTuple || elements.isGroup && (self == .grouper || self == .list)
        case .int, .wide, .bool: isOfInteger
        case .float: isOfFloat
        case .range: isOfRange
        case .view(let view): self == .mapping || self == .isdisjoint && view.kind != .values
        default: false
        }
    }
}

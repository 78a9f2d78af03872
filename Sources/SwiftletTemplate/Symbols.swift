// Symbols: the variables of one scope, by Jinja's rules: what a name means is decided before anything runs. A name that
// is assigned in a scope is the scope's own from its first mention on; the others belong to an outer scope or to what
// the caller gave.
// Owned by the resolver.
// Invariant: a name has one place per scope; scopes at the same level of a function share places by name.

/// A variable's place in a function.
struct Place: Hashable {
    var function: Int
    var index: Index
}

/// Gives names their places in functions.
final class FunctionTable {
    private struct Key: Hashable {
        var level: Int
        var name: Index
    }

    private var places: [[Key: Index]] = []
    /// Where each function is defined; -1 for the template.
    private(set) var parents: [Int] = []

    var slotCounts: [Int] { places.map(\.count) }

    func add(parent: Int) -> Int {
        places.append([:])
        parents.append(parent)
        return places.count - 1
    }

    func place(_ function: Int, level: Int, name: Index) -> Place {
        let key = Key(level: level, name: name)
        if let index = places[function][key] { return Place(function: function, index: index) }
        let index = Index(places[function].count)
        places[function][key] = index
        return Place(function: function, index: index)
    }

    /// A place as seen from a function inside of the one that has it.
    func slot(_ place: Place, from function: Int) -> Slot {
        var hops: Int32 = 0
        var current = function
        while current != place.function, current >= 0 {
            current = parents[current]
            hops += 1
        }
        precondition(current == place.function, "a variable of a function that is not around this one")
        return Slot(hops: hops, index: place.index)
    }
}

final class Symbols {
    enum Load: Equatable { case context(Index), alias(Place), unset, parameter }

    let parent: Symbols?
    let function: Int
    private let level: Int
    private let table: FunctionTable
    private var places: [Index: Place] = [:]
    private(set) var loads: [(place: Place, load: Load)] = []
    private var stores: Set<Index> = []

    init(parent: Symbols?, function: Int, table: FunctionTable) {
        self.parent = parent
        self.function = function
        self.table = table
        level = parent.map { $0.level + 1 } ?? 0
    }

    private init(copying other: Symbols) {
        parent = other.parent
        function = other.function
        level = other.level
        table = other.table
        places = other.places
        loads = other.loads
        stores = other.stores
    }

    private func set(_ place: Place, _ load: Load) {
        if let index = loads.firstIndex(where: { $0.place == place }) {
            loads[index].load = load
        } else {
            loads.append((place, load))
        }
    }

    @discardableResult
    private func define(_ name: Index, _ load: Load) -> Place {
        let place = table.place(function, level: level, name: name)
        places[name] = place
        set(place, load)
        return place
    }

    /// Where a name is found from this scope.
    func place(of name: Index) -> Place? { places[name] ?? parent?.place(of: name) }

    func load(_ name: Index) {
        if place(of: name) == nil { define(name, .context(name)) }
    }

    func store(_ name: Index) {
        stores.insert(name)
        guard places[name] == nil else { return }
        if let outer = parent?.place(of: name) {
            define(name, .alias(outer))
        } else {
            define(name, .unset)
        }
    }

    @discardableResult
    func declareParameter(_ name: Index) -> Place {
        stores.insert(name)
        return define(name, .parameter)
    }

    /// Visits branches of which one may run: what any of them assigns starts as what it was outside.
    func branches(_ visits: [(Symbols) -> Void]) {
        let copies = visits.map { visit in
            let copy = Symbols(copying: self)
            visit(copy)
            return copy
        }
        var stored: Set<Index> = []
        for copy in copies { stored.formUnion(copy.stores) }
        stored.subtract(stores)
        for copy in copies {
            places.merge(copy.places) { $1 }
            for (place, load) in copy.loads { set(place, load) }
            stores.formUnion(copy.stores)
        }
        for name in stored.sorted() {
            guard let place = place(of: name) else { continue }
            set(place, parent?.place(of: name).map { .alias($0) } ?? .context(name))
        }
    }
}

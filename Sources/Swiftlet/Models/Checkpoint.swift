// Checkpoint: the tensors of a model by name, from one safetensors file or from shards with an index.
// Owned by the loader for the time of loading; WeightLoader takes what the model needs and then calls finish().
// Invariant: every tensor is either taken with the shape the model expects, known to be needless, or an error;
// none is silently ignored.

internal import SwiftletJSON

package final class Checkpoint {
    /// A tensor that was found and has the expected shape. Keeps its file mapped.
    package struct Tensor {
        package let name: String
        package let type: Safetensors.ElementType
        package let shape: [Int]
        private let file: Safetensors
        private let description: Safetensors.Description

        fileprivate init(name: String, file: Safetensors, description: Safetensors.Description) {
            self.name = name
            self.file = file
            self.description = description
            type = description.type
            shape = description.shape
        }

        /// Whether its bytes are a file's, mapped.
        package var isMapped: Bool { file.isMapped }

        package var elementCount: Int { shape.reduce(1, *) }

        /// One of the matrices [rows, columns] of a tensor of three dimensions.
        package func matrix(_ index: Int) -> Tensor {
            precondition(shape.count == 3)
            let one = rows(index..<index + 1)
            var part = one.description
            part.shape.removeFirst()
            return Tensor(name: name, file: file, description: part)
        }

        /// Some of its rows, as a tensor.
        package func rows(_ range: Range<Int>) -> Tensor {
            precondition(range.upperBound <= shape[0] && type.bitCount.isMultiple(of: 8))
            let rowBytes = shape.dropFirst().reduce(1, *) * (type.bitCount / 8)
            let begin = description.byteRange.lowerBound
            var part = description
            part.shape[0] = range.count
            part.byteRange = begin + range.lowerBound * rowBytes..<begin + range.upperBound * rowBytes
            return Tensor(name: name, file: file, description: part)
        }

        /// Lends the bytes, row-major, possibly at an odd address; the pointer must not leave `body`.
        package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
            try file.withBytes(of: description, body)
        }
    }

    /// Rows and columns of a tensor; of a vector, elements.
    package struct Slice {
        package let tensor: Tensor
        package let rows: Range<Int>
        package let columns: Range<Int>

        /// - Parameter columns: nil: all.
        package init(_ tensor: Tensor, rows: Range<Int>, columns: Range<Int>? = nil) {
            let width = tensor.shape.count > 1 ? tensor.shape[1] : 1
            self.tensor = tensor
            self.rows = rows
            self.columns = columns ?? 0..<width
            precondition(rows.lowerBound >= 0 && rows.upperBound <= tensor.shape[0])
            precondition(self.columns.lowerBound >= 0 && self.columns.upperBound <= width)
        }

        package var elementCount: Int { rows.count * columns.count }
    }

    /// For messages: the directory.
    package let name: String
    private var files: [String: Safetensors] = [:]
    private var taken: Set<String> = []

    /// Opens and checks all weights files of a model.
    package init(_ source: ModelFiles) throws(LLMError) {
        name = source.name
        if let single = try source.weights("model.safetensors") {
            for tensor in single.tensors.keys { files[tensor] = single }
        } else if let index = try source.data("model.safetensors.index.json") {
            try open(shardsOf: index, from: source)
        } else {
            throw LLMError(
                .invalidModel,
                "\(source.name) has neither model.safetensors nor model.safetensors.index.json"
                    + source.foundInstead())
        }
    }

    /// Reads a single file's tensors.
    package init(_ file: Safetensors) {
        name = file.name
        for tensor in file.tensors.keys { files[tensor] = file }
    }

    /// All names, sorted.
    package var tensorNames: [String] { files.keys.sorted() }

    package func contains(_ tensor: String) -> Bool { files[tensor] != nil }

    package func type(of tensor: String) -> Safetensors.ElementType? { files[tensor]?.tensors[tensor]?.type }

    package func shape(of tensor: String) -> [Int]? { files[tensor]?.tensors[tensor]?.shape }

    /// Bytes of all tensors.
    package var byteCount: Int {
        files.reduce(0) { $0 + ($1.value.tensors[$1.key]?.byteRange.count ?? 0) }
    }

    /// A tensor of the given shape and of one of these types; counts as used from now on.
    package func take(
        _ tensor: String, shape: [Int], types: [Safetensors.ElementType] = [.float32, .float16, .bfloat16]
    ) throws(LLMError) -> Tensor {
        guard let file = files[tensor], let description = file.tensors[tensor] else {
            throw LLMError(.invalidModel, "\(name): tensor \(tensor) is missing")
        }
        guard description.shape == shape else {
            throw LLMError(
                .invalidModel,
                "\(name): tensor \(tensor) has the shape \(description.shape); config.json asks for \(shape)")
        }
        guard types.contains(description.type) else {
            throw LLMError(
                .unsupportedModel,
                "\(name): tensor \(tensor) has the dtype \(description.type.rawValue) (supported: "
                    + "\(types.map(\.rawValue).joined(separator: ", ")))")
        }
        taken.insert(tensor)
        return Tensor(name: tensor, file: file, description: description)
    }

    /// Names of tensors that nobody took.
    var untaken: [String] { files.keys.filter { !taken.contains($0) } }

    /// Makes a tensor one that nobody took.
    func giveBack(_ tensor: String) { taken.remove(tensor) }

    /// Call after the last `take`: tensors that nobody took are an error, but for those that real folders of the
    /// family carry needlessly.
    package func finish(unused: ModelFamily.UnusedTensors, hasTiedHead: Bool) throws(LLMError) {
        let left = files.keys.filter { tensor in
            if taken.contains(tensor) || unused.suffixes.contains(where: { tensor.hasSuffix($0) }) { return false }
            if unused.prefixes.contains(where: { tensor.hasPrefix($0) }) { return false }
            return !(hasTiedHead && unused.heads.contains(tensor))
        }.sorted()
        guard let first = left.first else { return }
        let others = left.count > 1 ? " and \(left.count - 1) more" : ""
        throw LLMError(
            .invalidModel,
            "\(name): unused tensor \(first)\(others): the weights do not belong to this config.json, or the model "
                + "has parts that are not supported")
    }
}

// MARK: Shards

extension Checkpoint {
    private func open(shardsOf index: [UInt8], from source: ModelFiles) throws(LLMError) {
        let file = source.path(of: "model.safetensors.index.json")
        let locations = try Self.locations(index, file: file)
        var shards: [String: Safetensors] = [:]
        for shard in Set(locations.values).sorted() {
            guard let opened = try source.weights(shard) else {
                throw LLMError(.invalidModel, "\(source.path(of: shard)) is missing; \(file) names it")
            }
            shards[shard] = opened
            // A tensor that the index leaves out is there all the same, and is asked after in finish().
            for tensor in opened.tensors.keys where locations[tensor] == nil { files[tensor] = opened }
        }
        for (tensor, shard) in locations {
            guard let opened = shards[shard], opened.tensors[tensor] != nil else {
                throw LLMError(.invalidModel, "\(file): tensor \(tensor) is not in \(shard)")
            }
            files[tensor] = opened
        }
    }

    /// Tensor name to shard name.
    package static func locations(_ index: [UInt8], file: String) throws(LLMError) -> [String: String] {
        let document: JSONDocument
        do {
            document = try JSONDocument(parsing: index, maximumDepth: 16, rejectDuplicateKeys: true)
        } catch {
            throw LLMError(.invalidModel, "\(file) is not valid JSON: \(error)")
        }
        guard let map = document.root["weight_map"], map.kind == .object, map.count > 0 else {
            throw LLMError(.invalidModel, "\(file) has no weight_map")
        }
        var locations: [String: String] = [:]
        for (tensor, value) in map.members {
            guard let shard = value.string, ModelFiles.isPlainName(shard) else {
                throw LLMError(
                    .invalidModel,
                    "\(file): \(tensor) is in \(ConfigReader.text(of: value)), which is not a file name of this "
                        + "directory")
            }
            locations[tensor] = shard
        }
        return locations
    }
}

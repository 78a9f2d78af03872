// KernelCheck: a check of the CUDA kernels, run on the emulated driver.
//
// Owner: the tests of this target. Invariant: each run has a device of its own.

import CSwiftletCUDAChecks
import CSwiftletCUDAEmulator
import Testing

/// What kernels are compiled for.
struct KernelShape: Sendable, CustomTestStringConvertible {
    var headDim = 32
    /// Of this rank.
    var queryHeads = 4
    var kvHeads = 2
    /// Of the model, where a rank has not all of a group.
    var group: Int?
    var skipped = 0
    var blockSize = 16
    var isFloat = false
    var hasFP8Cache = false

    var testDescription: String {
        "\(headDim) dims, \(queryHeads)/\(kvHeads) heads, blocks of \(blockSize)\(isFloat ? ", float32" : "")\(hasFP8Cache ? ", fp8 cache" : "")"
    }

    var values: swiftlet_cuda_shapes {
        swiftlet_cuda_shapes(
            compute_float: isFloat, kv_fp8: hasFP8Cache, head_dim: Int32(headDim), query_heads: Int32(queryHeads),
            kv_heads: Int32(kvHeads),
            query_group: Int32(group ?? queryHeads / kvHeads), skipped_query_heads: Int32(skipped),
            block_size: Int32(blockSize))
    }
}

/// Text of a kernel that is replaced by something wrong.
struct Mutation: Sendable, CustomTestStringConvertible {
    var name: String
    var check: String
    var file: String
    var from: String
    var to: String
    var shape = KernelShape()

    var testDescription: String { name }
}

struct KernelCheck {
    static let threadOrders = Int32(SWIFTLET_ORDERS)
    static var hasCompiler: Bool { swiftlet_emulator_is_available() != 0 }

    /// 0 when all is right, and what was compared or is wrong.
    static func run(
        _ name: String, _ shape: KernelShape, order: Int32, mutation: Mutation? = nil
    ) -> (status: Int32, text: String) {
        var shapes = shape.values
        var text = [CChar](repeating: 0, count: 1024)
        let status: Int32
        if let mutation {
            status = mutation.file.withCString { file in
                mutation.from.withCString { from in
                    mutation.to.withCString { to in
                        var replaced = swiftlet_emulator_mutation(file: file, from: from, to: to)
                        return swiftlet_emulator_check(name, &shapes, order, &replaced, &text, text.count)
                    }
                }
            }
        } else {
            status = swiftlet_emulator_check(name, &shapes, order, nil, &text, text.count)
        }
        return (status, String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
    }
}

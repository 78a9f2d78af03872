// CublasLt: the functions of cublasLt that matrix products need, and owners of the objects that they make.
// Invariant: descriptors say what the library's own enumerations say; the numbers are those of cublasLt.h.

package struct CublasLt: Sendable {
    package typealias Handle = UnsafeMutableRawPointer
    package typealias Status = Int32
    package typealias Out = UnsafeMutablePointer<Handle?>

    package let version: @Sendable @convention(c) () -> Int
    package let create: @Sendable @convention(c) (Out) -> Status
    package let destroy: @Sendable @convention(c) (Handle) -> Status
    package let createProduct: @Sendable @convention(c) (Out, Int32, Int32) -> Status
    package let destroyProduct: @Sendable @convention(c) (Handle) -> Status
    package let setProduct: @Sendable @convention(c) (Handle, Int32, UnsafeRawPointer, Int) -> Status
    package let createLayout: @Sendable @convention(c) (Out, Int32, UInt64, UInt64, Int64) -> Status
    package let destroyLayout: @Sendable @convention(c) (Handle) -> Status
    package let createPreference: @Sendable @convention(c) (Out) -> Status
    package let destroyPreference: @Sendable @convention(c) (Handle) -> Status
    package let setPreference: @Sendable @convention(c) (Handle, Int32, UnsafeRawPointer, Int) -> Status
    package let candidates:
        @Sendable @convention(c) (
            Handle, Handle, Handle, Handle, Handle, Handle, Handle, Int32, UnsafeMutableRawPointer,
            UnsafeMutablePointer<Int32>
        ) -> Status
    package let checkAlgorithm:
        @Sendable @convention(c) (
            Handle, Handle, Handle, Handle, Handle, Handle, UnsafeRawPointer, UnsafeMutableRawPointer
        ) -> Status
    package let multiply:
        @Sendable @convention(c) (
            Handle, Handle, UnsafeRawPointer, UInt64, Handle, UInt64, Handle, UnsafeRawPointer, UInt64, Handle, UInt64,
            Handle, UnsafeRawPointer, UInt64, Int, Handle
        ) -> Status

    package init(_ libraries: CUDALibraries) throws(LLMError) {
        version = try libraries.function(.blas, "cublasLtGetVersion")
        create = try libraries.function(.blas, "cublasLtCreate")
        destroy = try libraries.function(.blas, "cublasLtDestroy")
        createProduct = try libraries.function(.blas, "cublasLtMatmulDescCreate")
        destroyProduct = try libraries.function(.blas, "cublasLtMatmulDescDestroy")
        setProduct = try libraries.function(.blas, "cublasLtMatmulDescSetAttribute")
        createLayout = try libraries.function(.blas, "cublasLtMatrixLayoutCreate")
        destroyLayout = try libraries.function(.blas, "cublasLtMatrixLayoutDestroy")
        createPreference = try libraries.function(.blas, "cublasLtMatmulPreferenceCreate")
        destroyPreference = try libraries.function(.blas, "cublasLtMatmulPreferenceDestroy")
        setPreference = try libraries.function(.blas, "cublasLtMatmulPreferenceSetAttribute")
        candidates = try libraries.function(.blas, "cublasLtMatmulAlgoGetHeuristic")
        checkAlgorithm = try libraries.function(.blas, "cublasLtMatmulAlgoCheck")
        multiply = try libraries.function(.blas, "cublasLtMatmul")
    }

    package func check(_ status: Status, _ what: @autoclosure () -> String) throws(LLMError) {
        guard status != 0 else { return }
        throw LLMError(status == 3 ? .outOfMemory : .engineFailed, "cublasLt: \(what()) failed (status \(status))")
    }

    /// What `create` made.
    package func made(_ what: String, _ create: (Out) -> Status) throws(LLMError) -> Handle {
        var handle: Handle?
        try check(create(&handle), what)
        guard let handle else { throw LLMError(.engineFailed, "cublasLt: \(what) gave nothing") }
        return handle
    }
}

/// A product x [rows, columns] times the transpose of W [outputs, columns], with float32 sums. As the library sees it,
/// which takes columns for rows: [outputs, rows] = W x.
package final class CublasLtProduct {
    private let functions: CublasLt
    let product: CublasLt.Handle
    let weights: CublasLt.Handle
    let input: CublasLt.Handle
    let output: CublasLt.Handle

    /// - Parameters:
    ///   - stride: From row to row of the result; nil: its outputs.
    ///   - isFloat32: The type of x and W; bfloat16 otherwise.
    package init(
        _ functions: CublasLt, outputs: Int, columns: Int, rows: Int, stride: Int? = nil, isFloat32: Bool
    ) throws(LLMError) {
        self.functions = functions
        let (float, type): (Int32, Int32) = (0, isFloat32 ? 0 : 14)
        // Products in full float32, never in TF32.
        product = try functions.made("describing a product") { functions.createProduct($0, 68, float) }
        func layout(
            _ type: Int32, _ height: Int, _ width: Int, stride: Int? = nil
        ) throws(LLMError) -> CublasLt.Handle {
            try functions.made("describing a matrix") {
                functions.createLayout($0, type, UInt64(height), UInt64(width), Int64(stride ?? height))
            }
        }
        weights = try layout(type, columns, outputs)
        input = try layout(type, columns, rows)
        output = try layout(float, outputs, rows, stride: stride)
        var transposed: Int32 = 1
        try functions.check(functions.setProduct(product, 3, &transposed, 4), "transposing the weights")
    }

    deinit {
        _ = functions.destroyProduct(product)
        for layout in [weights, input, output] { _ = functions.destroyLayout(layout) }
    }
}

/// What the library has for a product.
struct CublasLtAlgorithm {
    /// As it wants it back.
    var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
    var workspace = 0
    var status: Int32 = 0
    var waves: Float = 0
    var reserved: (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)
}

// CUDADescription: what a GPU is. A value, read by the backend, which compiles for it, and by `swiftlet info`.

/// A GPU.
package struct CUDADescription: Sendable, Hashable {
    package var name: String
    /// Compute capability: 9.0 is 90.
    package var architecture: Int
    package var multiprocessorCount: Int
    /// Bytes of shared memory that a block may ask for.
    package var sharedMemory: Int
    /// Bytes.
    package var memory: Int
    /// 13.0 is 13000.
    package var driverVersion: Int

    /// Of a driver that was initialised.
    init(_ driver: CUDADriver, ordinal: Int) throws(LLMError) {
        var count: Int32 = 0
        try driver.check(driver.deviceCount(&count), "counting GPUs")
        guard ordinal < Int(count) else {
            throw LLMError(
                .invalidConfiguration,
                "there is no GPU \(ordinal): the driver shows \(count) (CUDA_VISIBLE_DEVICES); use --device cpu")
        }
        var (device, version, bytes): (Int32, Int32, Int) = (0, 0, 0)
        try driver.check(driver.device(&device, Int32(ordinal)), "opening GPU \(ordinal)")
        try driver.check(driver.driverVersion(&version), "asking for its version")
        try driver.check(driver.deviceMemory(&bytes, device), "asking for its memory")
        var text = [CChar](repeating: 0, count: 256)
        try driver.check(driver.deviceName(&text, 255, device), "asking for its name")
        func attribute(_ number: Int32) throws(LLMError) -> Int {
            var value: Int32 = 0
            try driver.check(driver.deviceAttribute(&value, number, device), "asking what it is")
            return Int(value)
        }
        name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        architecture = 10 * (try attribute(75)) + (try attribute(76))
        multiprocessorCount = try attribute(16)
        sharedMemory = try attribute(97)
        memory = bytes
        driverVersion = Int(version)
    }

    /// Older ones have no products of bfloat16 matrices.
    static var leastArchitecture: Int { 80 }
}

// Platform: shared libraries that are opened at run time, so that nothing of them is needed to build.
// Invariant: a library stays open for the life of the process; its functions' types are what its users say.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A library of another project, opened at run time.
package struct DynamicLibrary: Sendable {
    private let handle: UInt
    /// What it was opened as.
    package let name: String

    /// The first of these names that can be opened.
    ///
    /// - Parameter purpose: For the message: what it is needed for, and how to get it.
    /// - Throws: `invalidConfiguration` when none can be.
    package init(_ names: [String], purpose: String) throws(LLMError) {
        var refusals: [String] = []
        for name in names {
            // Its plug-ins look its symbols up, so they are visible to all.
            if let handle = dlopen(name, RTLD_NOW | RTLD_GLOBAL) {
                self.handle = UInt(bitPattern: handle)
                self.name = name
                return
            }
            // One that is there and can't be opened says why.
            if name.contains("/"), Platform.kind(of: name) == .regular, let reason = dlerror() {
                refusals.append(String(cString: reason))
            }
        }
        let reason = refusals.first.map { " (\($0))" } ?? ""
        let tried = names.contains { $0.contains("/") } ? [] : names
        throw LLMError(
            .invalidConfiguration,
            (tried.isEmpty ? "" : "\(tried.joined(separator: " or ")) can't be opened: ") + purpose + reason)
    }

    /// The address of a function or a variable.
    package func address(_ symbol: String) throws(LLMError) -> UnsafeMutableRawPointer {
        guard let address = dlsym(UnsafeMutableRawPointer(bitPattern: handle), symbol) else {
            throw LLMError(.invalidConfiguration, "\(name) has no \(symbol): it is of another kind or version")
        }
        return address
    }

    /// A function, of the C prototype that its user gives it.
    package func function<Function>(_ symbol: String) throws(LLMError) -> Function {
        unsafeBitCast(try address(symbol), to: Function.self)
    }

    /// The file that a function came from; what the library was opened as where the system does not say.
    package func path(of symbol: String, maps: String = "/proc/self/maps") -> String {
        guard let address = try? UInt(bitPattern: address(symbol)),
            let bytes = try? Platform.readFile(maps, limit: 1 << 24)
        else { return name }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let ends = line.prefix { $0 != " " }.split(separator: "-").map { UInt($0, radix: 16) ?? 0 }
            guard ends.count == 2, ends[0] <= address, address < ends[1], let path = line.firstIndex(of: "/") else {
                continue
            }
            return String(line[path...])
        }
        return name
    }
}

extension Platform {
    /// Lets other threads and processes run for so long.
    package static func sleep(microseconds: UInt32) { usleep(microseconds) }
}

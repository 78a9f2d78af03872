// InfoReport: GPUs and CUDA's libraries, as text and as JSON.
// Invariant: what was not found is listed with how to get it, and where it was looked for.

package import Swiftlet
package import SwiftletJSON

extension InfoReport {
    var gpuText: String {
        var text = ""
        for (number, gpu) in gpus.gpus.enumerated() {
            text += Self.line(
                "GPU \(number)",
                "\(gpu.name), compute capability \(gpu.computeCapability), \(Format.bytes(gpu.memory)), "
                    + Format.count(gpu.multiprocessorCount, "multiprocessor"))
        }
        text += Self.line("driver", gpus.driverVersion.map { "CUDA \($0)" })
        if gpus.gpus.isEmpty { text += Self.line("found", "none") }
        for library in gpus.libraries {
            text += Self.line("library", (library.path ?? library.problem).map { "\(library.purpose): \($0)" })
        }
        guard gpus.libraries.contains(where: { $0.path == nil }) else { return text }
        let folders = gpus.searchedFolders + ["where the system's loader looks"]
        return text + Self.line("searched", folders.joined(separator: ", "))
    }

    package static func write(_ gpus: CUDAInfo, to json: inout JSONWriter) {
        json.object { json in
            json.key("gpus")
            json.array(gpus.gpus) { json, gpu in
                json.object { json in
                    json.member("name", gpu.name)
                    json.member("compute_capability", gpu.computeCapability)
                    json.member("memory_bytes", gpu.memory)
                    json.member("multiprocessors", gpu.multiprocessorCount)
                }
            }
            json.member("driver_cuda_version", gpus.driverVersion)
            json.member("problem", gpus.problem)
            json.key("libraries")
            json.array(gpus.libraries) { json, library in
                json.object { json in
                    json.member("purpose", library.purpose)
                    json.member("path", library.path)
                    json.member("problem", library.problem)
                }
            }
            json.key("searched_folders")
            json.array(gpus.searchedFolders) { $0.string($1) }
        }
    }
}

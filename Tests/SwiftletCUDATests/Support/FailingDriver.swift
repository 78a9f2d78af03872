// A driver that fails: from some call of cuLaunchKernel or cuGraphLaunch on, each reports an illegal address, as after a
// kernel that went wrong.

import CSwiftletCUDAEmulator
import Swiftlet
import Synchronization

enum FailingDriver {
    /// Launches that still succeed.
    static let callsLeft = Atomic<Int>(.max)

    static let libraries = CUDALibraries { name in
        switch name {
        case "cuLaunchKernel": unsafeBitCast(launch, to: UnsafeMutableRawPointer.self)
        case "cuGraphLaunch": unsafeBitCast(launchGraph, to: UnsafeMutableRawPointer.self)
        default: swiftlet_emulated_symbol(name)
        }
    }

    private typealias Launch =
        @convention(c) (
            UnsafeMutableRawPointer?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UnsafeMutableRawPointer?,
            UnsafeMutableRawPointer?, UnsafeMutableRawPointer?
        ) -> Int32
    private typealias LaunchGraph = @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Int32

    private static let launch: Launch = { function, a, b, c, d, e, f, shared, stream, arguments, extra in
        guard FailingDriver.callsLeft.subtract(1, ordering: .relaxed).newValue > 0 else { return 700 }
        let real = unsafeBitCast(swiftlet_emulated_symbol("cuLaunchKernel"), to: Launch.self)
        return real(function, a, b, c, d, e, f, shared, stream, arguments, extra)
    }

    private static let launchGraph: LaunchGraph = { graph, stream in
        guard FailingDriver.callsLeft.subtract(1, ordering: .relaxed).newValue > 0 else { return 700 }
        let real = unsafeBitCast(swiftlet_emulated_symbol("cuGraphLaunch"), to: LaunchGraph.self)
        return real(graph, stream)
    }
}

// A driver that fails: from some call of cuLaunchKernel or cuGraphLaunch on, each reports an illegal address, as after a
// kernel that went wrong. Or one kernel goes wrong itself, which shows when its stream comes to it.

import CSwiftletCUDAEmulator
import Foundation
import Swiftlet
import Synchronization

enum FailingDriver {
    /// Launches that still succeed.
    private static let callsLeft = Atomic<Int>(.max)
    /// The thread whose launches succeed whatever is left: that of a rank which is not to fail.
    private static let spared = Atomic<UInt>(0)
    /// The failing launch succeeds, and its kernel reads memory that is not there.
    private static let isLate = Atomic<Bool>(false)

    static var thisThread: UInt { withUnsafeBytes(of: pthread_self()) { $0.load(as: UInt.self) } }

    /// Lets so many launches succeed while `body` runs, on every thread but this one if that is spared.
    static func with<Result>(
        callsLeft: Int, sparesThisThread: Bool = false, isLate: Bool = false, _ body: () throws -> Result
    ) rethrows -> Result {
        spared.store(sparesThisThread ? thisThread : 0, ordering: .relaxed)
        Self.isLate.store(isLate, ordering: .relaxed)
        Self.callsLeft.store(callsLeft, ordering: .relaxed)
        defer {
            Self.callsLeft.store(.max, ordering: .relaxed)
            Self.isLate.store(false, ordering: .relaxed)
            spared.store(0, ordering: .relaxed)
        }
        return try body()
    }

    private static var fails: Bool {
        spared.load(ordering: .relaxed) != thisThread && callsLeft.subtract(1, ordering: .relaxed).newValue <= 0
    }

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
        if FailingDriver.fails {
            guard FailingDriver.isLate.load(ordering: .relaxed) else { return 700 }
            // The address of its first argument.
            let first = arguments!.load(as: UnsafeMutablePointer<UInt64>.self)
            first.pointee = 4096
        }
        let real = unsafeBitCast(swiftlet_emulated_symbol("cuLaunchKernel"), to: Launch.self)
        return real(function, a, b, c, d, e, f, shared, stream, arguments, extra)
    }

    private static let launchGraph: LaunchGraph = { graph, stream in
        if FailingDriver.fails { return 700 }
        let real = unsafeBitCast(swiftlet_emulated_symbol("cuGraphLaunch"), to: LaunchGraph.self)
        return real(graph, stream)
    }
}

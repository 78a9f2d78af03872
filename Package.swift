// swift-tools-version: 6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// A product that is linked with the trait Server only.
func server(_ product: String, _ package: String) -> Target.Dependency {
    .product(name: product, package: package, condition: .when(traits: ["Server"]))
}

let package = Package(
    name: "swiftlet",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Swiftlet", targets: ["Swiftlet"]),
        .library(name: "SwiftletTokenizer", targets: ["SwiftletTokenizer"]),
        .library(name: "SwiftletTemplate", targets: ["SwiftletTemplate"]),
        .library(name: "SwiftletHub", targets: ["SwiftletHub"]),
        .library(name: "SwiftletServer", targets: ["SwiftletServer"]),
        .executable(name: "swiftlet", targets: ["SwiftletCommand"]),
    ],
    traits: [
        .trait(
            name: "Server",
            description: "The OpenAI-compatible server, downloads from the hub, and their dependencies (NIO)."),
        .trait(
            name: "WithoutDemoModel",
            description: "Leaves the demo model's weights (7 MB) out of the binary, for machines that have a model."),
        .default(enabledTraits: ["Server"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        // The rest is reached with the trait Server only.
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // JSON reader shared by tokenizer.json, configs, safetensors headers and JSONL.
        .target(name: "SwiftletJSON", swiftSettings: swiftSettings),
        .target(
            name: "SwiftletTokenizer", dependencies: ["SwiftletJSON"], swiftSettings: swiftSettings),
        // The Jinja of chat templates.
        .target(
            name: "SwiftletTemplate", dependencies: ["SwiftletJSON"], swiftSettings: swiftSettings),
        // C micro-kernels and the thread pool.
        .target(name: "CSwiftletKernels"),
        // The demo model, embedded with #embed.
        .target(
            name: "CSwiftletDemoModel", exclude: ["model"],
            cSettings: [.define("SWIFTLET_WITHOUT_DEMO_MODEL", .when(traits: ["WithoutDemoModel"]))]),
        // CUDA kernels, embedded as text with #embed: nothing of CUDA is needed to build.
        .target(name: "CSwiftletCUDA", exclude: ["kernels"]),
        // Checks of these kernels, for `selftest` and for tests.
        .target(name: "CSwiftletCUDAChecks"),
        .target(
            name: "Swiftlet",
            dependencies: [
                "SwiftletJSON", "SwiftletTokenizer", "SwiftletTemplate", "CSwiftletKernels", "CSwiftletDemoModel",
                "CSwiftletCUDA", "CSwiftletCUDAChecks",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        // Downloads of model folders. Empty without the trait Server.
        .target(
            name: "SwiftletHub",
            dependencies: [
                "Swiftlet", "SwiftletJSON", "SwiftletTemplate",
                server("AsyncHTTPClient", "async-http-client"),
                server("Crypto", "swift-crypto"),
                server("NIOCore", "swift-nio"),
                server("NIOHTTP1", "swift-nio"),
                server("NIOPosix", "swift-nio"),
                server("NIOSSL", "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        // The chat page of the server, embedded with #embed.
        .target(name: "CSwiftletWebPage", exclude: ["page"]),
        // The OpenAI-compatible server. Empty without the trait Server.
        .target(
            name: "SwiftletServer",
            dependencies: [
                "Swiftlet", "SwiftletJSON", "SwiftletTemplate",
                .target(name: "CSwiftletWebPage", condition: .when(traits: ["Server"])),
                server("Hummingbird", "hummingbird"),
                server("HummingbirdTLS", "hummingbird"),
                server("HTTPTypes", "swift-http-types"),
                server("NIOCore", "swift-nio"),
                server("NIOHTTP1", "swift-nio"),
                server("NIOHTTPTypes", "swift-nio-extras"),
                server("NIOHTTPTypesHTTP1", "swift-nio-extras"),
                server("NIOSSL", "swift-nio-ssl"),
                server("ServiceLifecycle", "swift-service-lifecycle"),
                server("UnixSignals", "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "SwiftletCommand",
            dependencies: [
                "Swiftlet", "SwiftletHub", "SwiftletJSON", "SwiftletServer", "SwiftletTokenizer", "SwiftletTemplate",
                server("AsyncHTTPClient", "async-http-client"),
                server("NIOCore", "swift-nio"),
                server("NIOHTTP1", "swift-nio"),
                server("NIOPosix", "swift-nio"),
                server("NIOSSL", "swift-nio-ssl"),
                server("ServiceLifecycle", "swift-service-lifecycle"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .target(name: "CSwiftletTestSupport", path: "Tests/CSwiftletTestSupport"),
        // A CUDA driver, NVRTC and cublasLt for machines without a GPU.
        .target(
            name: "CSwiftletCUDAEmulator", dependencies: ["CSwiftletCUDA", "CSwiftletCUDAChecks"],
            path: "Tests/CSwiftletCUDAEmulator", exclude: ["device"]),
        .target(
            name: "SwiftletTestSupport", path: "Tests/SwiftletTestSupport", swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletTokenizerTests",
            dependencies: ["SwiftletTokenizer", "SwiftletJSON", "SwiftletTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletTemplateTests",
            dependencies: ["SwiftletTemplate", "SwiftletJSON", "SwiftletTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletKernelTests", dependencies: ["CSwiftletKernels"], swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletCUDAKernelTests",
            dependencies: ["CSwiftletCUDAChecks", "CSwiftletCUDAEmulator", "SwiftletTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletTests",
            dependencies: [
                "Swiftlet", "SwiftletJSON", "SwiftletTokenizer", "CSwiftletKernels", "CSwiftletTestSupport",
                "SwiftletTestSupport",
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletCUDATests",
            dependencies: [
                "Swiftlet", "SwiftletJSON", "SwiftletTokenizer", "CSwiftletKernels", "CSwiftletCUDAEmulator",
                "SwiftletTestSupport",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletHubTests",
            dependencies: [
                "SwiftletHub", "Swiftlet", "SwiftletTestSupport",
                server("Crypto", "swift-crypto"),
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletServerTests",
            dependencies: [
                "SwiftletServer", "Swiftlet", "SwiftletJSON", "SwiftletTemplate", "SwiftletTokenizer",
                "SwiftletTestSupport",
                server("AsyncHTTPClient", "async-http-client"),
                server("Hummingbird", "hummingbird"),
                server("HTTPTypes", "swift-http-types"),
                server("NIOCore", "swift-nio"),
                server("NIOHTTP1", "swift-nio"),
                server("NIOSSL", "swift-nio-ssl"),
                server("ServiceLifecycle", "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletCommandTests",
            dependencies: [
                "SwiftletCommand", "Swiftlet", "SwiftletHub", "SwiftletJSON", "SwiftletServer", "SwiftletTemplate",
                "SwiftletTokenizer",
                "CSwiftletKernels", "SwiftletTestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),
    ],
    cLanguageStandard: .c2x
)

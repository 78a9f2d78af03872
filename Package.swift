// swift-tools-version: 6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "swiftlet",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Swiftlet", targets: ["Swiftlet"]),
        .library(name: "SwiftletTokenizer", targets: ["SwiftletTokenizer"]),
        .library(name: "SwiftletTemplate", targets: ["SwiftletTemplate"]),
        .executable(name: "swiftlet", targets: ["SwiftletCommand"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
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
        .target(name: "CSwiftletDemoModel", exclude: ["model"]),
        .target(
            name: "Swiftlet",
            dependencies: [
                "SwiftletJSON", "SwiftletTokenizer", "SwiftletTemplate", "CSwiftletKernels", "CSwiftletDemoModel",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "SwiftletCommand",
            dependencies: [
                "Swiftlet", "SwiftletJSON", "SwiftletTokenizer", "SwiftletTemplate",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .target(name: "CSwiftletTestSupport", path: "Tests/CSwiftletTestSupport"),
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
            name: "SwiftletTests",
            dependencies: [
                "Swiftlet", "SwiftletJSON", "SwiftletTokenizer", "CSwiftletKernels", "CSwiftletTestSupport",
                "SwiftletTestSupport",
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "SwiftletCommandTests",
            dependencies: [
                "SwiftletCommand", "Swiftlet", "SwiftletJSON", "SwiftletTokenizer", "CSwiftletKernels",
                "SwiftletTestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),
    ],
    cLanguageStandard: .c2x
)

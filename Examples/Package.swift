// swift-tools-version: 6.2
// Examples of the library's use: a package of its own, so that it sees what any other package sees.
import PackageDescription

let package = Package(
    name: "swiftlet-examples",
    platforms: [.macOS(.v15)],
    // In a package of yours: .package(url: "…", branch: "main")
    // Without the trait Server nothing of NIO is built.
    dependencies: [.package(name: "swiftlet", path: "..", traits: [])],
    targets: [
        "OfflineBatch", "Streaming", "Chat", "Scoring", "Evaluation", "Ablation", "CustomSampler", "PairedTiming",
    ].map { name in
        .executableTarget(
            name: name,
            dependencies: [
                .product(name: "Swiftlet", package: "swiftlet"),
                .product(name: "SwiftletTokenizer", package: "swiftlet"),
            ], path: name,
            swiftSettings: [.swiftLanguageMode(.v6)])
    }
)

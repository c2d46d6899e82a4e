// swift-tools-version:6.2
//
// Sluice's package. Two shapes:
//   - whole (default): every program, including the ones that link gRPC;
//   - data plane only (SLUICE_DATAPLANE_ONLY=1): what needs no gRPC, SQLite or NIO. It builds in seconds and is what
//     the sanitizer and fuzzing runs use.

import PackageDescription

let dataplaneOnly = Context.environment["SLUICE_DATAPLANE_ONLY"] == "1"

#if arch(x86_64)
// x86-64-v2 is every server since 2009; measured, -march=native gains less than 7 % over it.
let cpu = ["-Xcc", "-march=x86-64-v2"]
let cCPU = ["-march=x86-64-v2"]
#else
let cpu: [String] = []
let cCPU: [String] = []
#endif

/// Hot-path modules: exclusivity is guaranteed by ~Copyable owners and thread confinement, so its run-time checks go.
let hot: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .unsafeFlags(cpu + ["-enforce-exclusivity=unchecked"]),
]
let plain: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

var dependencies: [Package.Dependency] = [
  .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
]

var targets: [Target] = [
  // C libraries and shims
  .systemLibrary(name: "CLibbpf", path: "Sources/CSluice/Libbpf", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev", "libelf-dev"])]),
  .systemLibrary(name: "CLibmnl", path: "Sources/CSluice/Libmnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
  .systemLibrary(name: "CLibnuma", path: "Sources/CSluice/Libnuma", pkgConfig: "numa", providers: [.apt(["libnuma-dev"])]),
  .target(name: "CSluice", path: "Sources/CSluice/Shims", cSettings: [.unsafeFlags(cCPU)]),

  // The data plane
  .target(
    name: "Dataplane", dependencies: ["CSluice", "CLibnuma"], exclude: ["README.md", "Ports/README.md"],
    swiftSettings: hot),
  .target(name: "Pipeline", dependencies: ["Dataplane"], exclude: ["README.md"], swiftSettings: hot),
  .plugin(name: "EmbedBPF", capability: .buildTool()),
  .target(
    name: "KernelTier", dependencies: ["CSluice", "CLibbpf", "Dataplane"], exclude: ["README.md"], swiftSettings: plain,
    plugins: ["EmbedBPF"]),
  .target(name: "Netlink", dependencies: ["CSluice", "CLibmnl"], exclude: ["README.md"], swiftSettings: plain),
  .target(name: "Doctor", dependencies: ["KernelTier", "Netlink"], exclude: ["README.md"], swiftSettings: plain),
  .executableTarget(name: "sluice-bench", dependencies: ["CSluice", "Dataplane", "Pipeline", argumentParser], swiftSettings: hot),

  .target(name: "TestSupport", dependencies: ["Dataplane", "CSluice"], path: "Tests/TestSupport", swiftSettings: plain),
  .target(
    name: "ProofModel", dependencies: ["Dataplane", "Pipeline", "KernelTier", "CSluice", "TestSupport"], path: "Tests/Proof/Model", swiftSettings: plain),
  .executableTarget(
    name: "sluice-proof", dependencies: ["Dataplane", "ProofModel", "TestSupport", argumentParser], path: "Tests/Proof/Program", swiftSettings: plain),
  .testTarget(
    name: "DataplaneTests", dependencies: ["Dataplane", "CSluice", "CLibbpf", "TestSupport"], swiftSettings: plain),
  .testTarget(
    name: "PipelineTests", dependencies: ["Pipeline", "Dataplane", "CSluice", "TestSupport", "ProofModel"], swiftSettings: plain),
  .testTarget(
    name: "KernelTierTests", dependencies: ["KernelTier", "Dataplane", "CSluice", "CLibbpf", "TestSupport"], swiftSettings: plain),
  .testTarget(name: "NetlinkTests", dependencies: ["Netlink", "CSluice"], swiftSettings: plain),
  .testTarget(name: "DoctorTests", dependencies: ["Doctor", "KernelTier"], swiftSettings: plain),
]

if !dataplaneOnly {
  dependencies += [
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.0"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.0"),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.0"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ]
  targets += [
    .target(
      name: "Store", dependencies: [.product(name: "GRDB", package: "GRDB.swift")], exclude: ["README.md"],
      swiftSettings: plain),
    .target(
      name: "AgentAPI",
      dependencies: [
        "CSluice",
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
        .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      exclude: ["README.md", "Proto", "generate.sh"], swiftSettings: plain),
    .target(
      name: "Agent",
      dependencies: [
        "Dataplane", "Pipeline", "KernelTier", "Netlink", "Store", "AgentAPI", "CSluice", logging,
        .product(name: "Yams", package: "Yams"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      exclude: ["README.md"], swiftSettings: plain),
    .executableTarget(name: "sluiced", dependencies: ["Agent", argumentParser], swiftSettings: plain),
    .executableTarget(
      name: "sluicectl", dependencies: ["AgentAPI", "Doctor", argumentParser], exclude: ["README.md"], swiftSettings: plain),
    .testTarget(name: "StoreTests", dependencies: ["Store"], swiftSettings: plain),
    .testTarget(name: "AgentTests", dependencies: ["Agent", "AgentAPI", "Doctor", "sluicectl", argumentParser], swiftSettings: plain),
  ]
}

let package = Package(name: "sluice", dependencies: dependencies, targets: targets)

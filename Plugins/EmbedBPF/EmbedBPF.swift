// EmbedBPF.swift
//
// Compiles every BPF/*.bpf.c of the package and turns the object into a Swift constant, so that a program which loads BPF is
// one self-contained file.
// Invariants: one command per program; headers in BPF/ are inputs of each, so editing one rebuilds. Debug sections are
//       stripped, BTF stays. The bytes become a hexadecimal StaticString, because the compiler takes seconds for an array
//       literal of a few kilobytes and nothing for a string.
// Needs: clang with the bpf target (the one of the Swift toolchain has it; BPF_CLANG names another) and llvm-objcopy beside it.

import Foundation
import PackagePlugin

@main
struct EmbedBPF: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    let folder = context.package.directoryURL.appending(path: "BPF")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { folder.appending(path: $0) }
    let headers = files.filter { $0.pathExtension == "h" }
    let sources = files.filter { $0.lastPathComponent.hasSuffix(".bpf.c") }
    if sources.isEmpty { Diagnostics.error("no BPF program (*.bpf.c) in \(folder.path)") }
    return sources.map { source in
      let name = String(source.lastPathComponent.dropLast(".bpf.c".count))
      let object = context.pluginWorkDirectoryURL.appending(path: "\(name).bpf.o")
      let swift = context.pluginWorkDirectoryURL.appending(path: "EmbeddedBPF+\(name).swift")
      return .buildCommand(
        displayName: "Compiling BPF program \(name)",
        executable: URL(filePath: "/bin/sh"),
        arguments: ["-c", Self.script, "sh", source.path, object.path, swift.path, name],
        inputFiles: [source] + headers,
        outputFiles: [swift])
    }
  }

  /// $1 source, $2 object, $3 Swift file, $4 name. The multiarch folder is where Debian and Ubuntu keep asm/types.h.
  private static let script = #"""
    set -e
    clang="${BPF_CLANG:-clang}"
    command -v "$clang" >/dev/null || { echo "error: $clang is not in PATH; it compiles the BPF programs" >&2; exit 1; }
    "$clang" -O2 -g -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -Wall -Werror -c "$1" -o "$2"
    "$("$clang" -print-prog-name=llvm-objcopy)" --strip-debug "$2"
    {
      echo "// Made from BPF/$4.bpf.c by the plugin EmbedBPF."
      echo "extension EmbeddedBPF {"
      printf '  static let %s: StaticString = "' "$4"
      od -An -v -tx1 "$2" | tr -d ' \n'
      printf '"\n}\n'
    } > "$3"
    """#
}

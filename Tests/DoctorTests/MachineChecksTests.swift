// What the doctor makes of /proc and /sys.

import Foundation
import Testing

@testable import Doctor

/// A machine out of files.
private func machine(_ texts: [String: String], agent: Int32? = nil, _ body: (MachineChecks) throws -> Void) throws {
  let root = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-doctor-\(UUID().uuidString)")
  defer { try? FileManager.default.removeItem(at: root) }
  for (path, text) in texts {
    let file = root.appendingPathComponent(path)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data((text + "\n").utf8).write(to: file)
  }
  try body(MachineChecks(files: SystemFiles(root: root.path), agent: agent))
}

@Test(arguments: [
  ("6.18.44-fc", Finding.Verdict.ok), ("5.12.0", .ok), ("5.10.0-28-amd64", .fail), ("5.4.0", .fail), ("4.19", .fail), ("what", .warn),
])
func theKernelsVersionIsComparedByNumbers(release: String, verdict: Finding.Verdict) throws {
  try machine(["/proc/sys/kernel/osrelease": release]) { #expect($0.version.verdict == verdict) }
}

@Test(arguments: [("0", Finding.Verdict.fail), ("1", .ok), ("2", .warn)])
func aKernelThatInterpretsIsToBeMended(value: String, verdict: Finding.Verdict) throws {
  try machine(["/proc/sys/net/core/bpf_jit_enable": value]) { machine in
    #expect(machine.jit.verdict == verdict)
    #expect(machine.jit.mend == (verdict == .ok ? nil : "sysctl -w net.core.bpf_jit_enable=1"))
  }
}

@Test func aMissingBPFFileSystemIsAWarningWithItsMount() throws {
  try machine(["/proc/self/mounts": "sysfs /sys sysfs rw 0 0"]) {
    #expect($0.bpfFileSystem.mend == "mount -t bpf bpf /sys/fs/bpf")
  }
  try machine(["/proc/self/mounts": "bpf /sys/fs/bpf bpf rw 0 0"]) { #expect($0.bpfFileSystem.verdict == .ok) }
}

@Test(arguments: [
  ("0000000000004000", "65536", Finding.Verdict.ok), ("0000000000000000", "unlimited", .ok), ("0000000000000000", "65536", .warn),
])
func lockedMemoryIsLimitedOnlyWithoutTheCapability(capabilities: String, limit: String, verdict: Finding.Verdict) throws {
  let files = [
    "/proc/7/status": "Name:\tsluiced\nCapEff:\t\(capabilities)",
    "/proc/7/limits": "Limit                     Soft Limit           Hard Limit           Units\nMax locked memory         \(limit)                \(limit)                bytes",
  ]
  try machine(files, agent: 7) { #expect($0.memlock?.verdict == verdict) }
}

@Test func onlyABusyWorkerNeedsACPUOfItsOwn() throws {
  try machine(["/sys/devices/system/cpu/isolated": "2-3,7"]) { machine in
    #expect(machine.worker(0, cpu: 3, isBusy: true).map(\.verdict) == [.ok])
    #expect(machine.worker(0, cpu: 1, isBusy: true).map(\.verdict) == [.warn])
    #expect(machine.worker(0, cpu: 1, isBusy: false).map(\.verdict) == [.ok])
    #expect(machine.worker(0, cpu: -1, isBusy: true).map(\.verdict) == [.warn])
  }
}

@Test func aClockThatFollowsTheLoadIsSaid() throws {
  let path = "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"
  try machine([path: "powersave"]) { machine in
    #expect(machine.worker(0, cpu: 1, isBusy: false).last?.mend == "echo performance > \(path)")
  }
}

@Test(arguments: [("", []), ("1", [1]), ("1-3,7", [1, 2, 3, 7]), ("3-1", []), ("x", [])])
func listsOfCPUsAreRead(text: String, cpus: [Int]) {
  #expect(MachineChecks.cpus(text) == Set(cpus))
}

@Test func withoutRootNothingIsTried() throws {
  try machine([:]) { machine in
    let findings = machine.findings(isRoot: false)
    #expect(findings.contains { $0.check == "probes" && $0.mend == "sudo sluicectl doctor" })
  }
}

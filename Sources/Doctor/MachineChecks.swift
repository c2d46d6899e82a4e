// MachineChecks.swift
//
// What the kernel and the machine have to be like, whether or not an agent runs.
// Threads: any. Cost: some dozens of system calls.

import Glibc
import KernelTier

/// Checks of the machine as a whole.
public struct MachineChecks: Sendable {
  let files: SystemFiles
  /// The agent's process; nil when it is not known.
  let agent: Int32?

  public init(files: SystemFiles = SystemFiles(), agent: Int32? = nil) {
    self.files = files
    self.agent = agent
  }

  /// - Parameter isRoot: whether the kernel lets this process try things.
  public func findings(isRoot: Bool = geteuid() == 0) -> [Finding] {
    var findings = [version, jit, btf, bpfFileSystem, memlock, statistics].compactMap(\.self)
    if isRoot {
      findings += KernelProbe.allCases.map(probe)
    } else {
      findings.append(
        Finding(.warn, "kernel", "probes", "what the kernel can do was not tried, because that takes root", mend: "sudo sluicectl doctor"))
    }
    return findings
  }

  /// The oldest Linux that has everything: BPF's atomic exchange, and global functions that take pointers, are the newest of it.
  static let oldest = (major: 5, minor: 12)

  var version: Finding {
    let release = files.text("/proc/sys/kernel/osrelease") ?? "unknown"
    let parts = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    guard parts.count == 2 else { return Finding(.warn, "kernel", "version", "the kernel's version \(release) is not understood") }
    guard (parts[0], parts[1]) >= (Self.oldest.major, Self.oldest.minor) else {
      return Finding(
        .fail, "kernel", "version", "Linux \(release) is too old; \(Self.oldest.major).\(Self.oldest.minor) or later is needed",
        mend: "install a newer kernel and start it")
    }
    return Finding(.ok, "kernel", "version", "Linux \(release)")
  }

  var jit: Finding {
    let command = "sysctl -w net.core.bpf_jit_enable=1"
    // The file belongs to the first network namespace; where it is not seen, the kernel mostly has the JIT always on.
    guard let value = files.number("/proc/sys/net/core/bpf_jit_enable") else {
      return Finding(.ok, "kernel", "jit", "the BPF compiler cannot be switched off here")
    }
    switch value {
    case 0: return Finding(.fail, "kernel", "jit", "BPF programs are interpreted, which is several times slower", mend: command)
    case 1: return Finding(.ok, "kernel", "jit", "BPF programs are compiled")
    default:
      return Finding(.warn, "kernel", "jit", "BPF programs are compiled, and the kernel logs each one's machine code", mend: command)
    }
  }

  var btf: Finding {
    files.exists("/sys/kernel/btf/vmlinux")
      ? Finding(.ok, "kernel", "btf", "the kernel's types are known")
      : Finding(
        .warn, "kernel", "btf", "the kernel's types are not known; Sluice does without, tools such as bpftrace do not",
        mend: "run a kernel with CONFIG_DEBUG_INFO_BTF")
  }

  var bpfFileSystem: Finding {
    let mounts = files.text("/proc/self/mounts")?.split(separator: "\n").map { $0.split(separator: " ") } ?? []
    let isThere = mounts.contains { $0.count > 2 && $0[1] == "/sys/fs/bpf" && $0[2] == "bpf" }
    return isThere
      ? Finding(.ok, "kernel", "bpffs", "/sys/fs/bpf is there to pin maps in")
      : Finding(
        .warn, "kernel", "bpffs", "no BPF file system is mounted at /sys/fs/bpf here; the agent mounts one when it needs it",
        mend: "mount -t bpf bpf /sys/fs/bpf")
  }

  /// Memory of AF_XDP is counted against this limit, unless the process may lock what it likes.
  var memlock: Finding? {
    guard let agent else { return nil }
    let capabilities = files.value("CapEff", in: "/proc/\(agent)/status").flatMap { UInt64($0, radix: 16) }
    let limit = files.value("Max locked memory", in: "/proc/\(agent)/limits")?.split(separator: " ").first.map(String.init)
    let lockMemory: UInt64 = 1 << 14
    if let capabilities, capabilities & lockMemory != 0 {
      return Finding(.ok, "agent", "memlock", "the agent may lock as much memory as it needs (CAP_IPC_LOCK)")
    }
    guard let limit else { return nil }
    if limit == "unlimited" { return Finding(.ok, "agent", "memlock", "the agent may lock as much memory as it needs") }
    return Finding(
      .warn, "agent", "memlock", "the agent may lock \(limit) bytes of memory, which is not enough for many queues",
      mend: "prlimit --pid \(agent) --memlock=unlimited:unlimited")
  }

  var statistics: Finding? {
    guard files.number("/proc/sys/kernel/bpf_stats_enabled") == 1 else { return nil }
    return Finding(
      .warn, "kernel", "statistics", "the kernel measures every run of a BPF program, which costs some nanoseconds a packet",
      mend: "sysctl -w kernel.bpf_stats_enabled=0")
  }

  private func probe(_ probe: KernelProbe) -> Finding {
    do {
      try probe.run()
      return Finding(.ok, "kernel", probe.rawValue, "\(probe.rawValue) \(probe == .redirectPeer ? "works" : "work")")
    } catch {
      let loss = probe.isOptional ? "; packets for containers take the slower way through the other end's queue" : ""
      return Finding(
        probe.isOptional ? .warn : .fail, "kernel", probe.rawValue, "\(error)\(loss)",
        mend: "run Linux \(probe.version) or later with \(probe.option)")
    }
  }

  /// How the CPU of a worker is prepared.
  public func worker(_ id: UInt32, cpu: Int32, isBusy: Bool) -> [Finding] {
    let subject = "worker \(id)"
    guard cpu >= 0 else {
      return isBusy
        ? [
          Finding(
            .warn, subject, "cpu", "it polls without a pause and has no CPU of its own",
            mend: "name its CPU under workers.cpus in the agent's configuration, then: systemctl restart sluiced")
        ] : [Finding(.ok, subject, "cpu", "the kernel chooses its CPU")]
    }
    var findings: [Finding] = []
    let isolated = Self.cpus(files.text("/sys/devices/system/cpu/isolated") ?? "")
    if isolated.contains(Int(cpu)) {
      findings.append(Finding(.ok, subject, "isolation", "CPU \(cpu) is kept free for it"))
    } else {
      // One that sleeps when there is nothing to do lives with others.
      findings.append(
        isBusy
          ? Finding(
            .warn, subject, "isolation", "it polls CPU \(cpu) without a pause, and the kernel runs other tasks there too",
            mend: "add isolcpus=\(cpu) nohz_full=\(cpu) to the kernel's command line, such as with: "
              + "grubby --update-kernel=ALL --args='isolcpus=\(cpu) nohz_full=\(cpu)'")
          : Finding(.ok, subject, "isolation", "it shares CPU \(cpu) with other tasks, and sleeps when nothing comes"))
    }
    let path = "/sys/devices/system/cpu/cpu\(cpu)/cpufreq/scaling_governor"
    if let governor = files.text(path), governor != "performance" {
      findings.append(
        Finding(
          .warn, subject, "governor", "the clock of CPU \(cpu) follows its load (\(governor)), which costs packets when a burst comes",
          mend: "echo performance > \(path)"))
    }
    return findings
  }

  /// The numbers of a list such as "1-3,7".
  static func cpus(_ list: String) -> Set<Int> {
    var cpus: Set<Int> = []
    for part in list.split(separator: ",") {
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last, last - first < 1 << 16 else { continue }
      cpus.formUnion(first...last)
    }
    return cpus
  }
}

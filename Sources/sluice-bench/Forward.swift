// Forward.swift
//
// What: `sluice-bench forward`: replays a trace from memory through real workers and drops what comes out, the twin of DPDK's net_pcap with
//       infinite_rx=1 to net_null.
// Method: every frame is copied into a frame buffer, as a NIC would do. After a warm-up (until no more flows are set up, or its time
//         is over), counters are read at the start and the end of each window; the reported window is the fastest of them,
//         because other work on the machine can only make a window slower. Cycles per packet are TSC cycles of the worker's polling
//         rounds over the packets of the window.

import ArgumentParser
import Dataplane
import Foundation
import Pipeline

struct Forward: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Replays a trace through the workers and prints packets per second and cycles per packet.",
    discussion: """
      EXAMPLES
        sluice-bench forward --rules acl.rules --trace acl.pcap
        sluice-bench forward --rules l3.rules --trace flows.pcap --workers 2 --seconds 5 --json

      The trace comes in by port 1; port 2 and up drop what they are sent. The rule file is in ovs-ofctl's syntax, a rule a line.
      """)

  @Option(help: "Rules in ovs-ofctl's syntax, one a line.")
  var rules: String
  @Option(help: "The frames to replay: a pcap file of Ethernet frames.")
  var trace: String
  @Option(help: "How long to measure, in seconds.")
  var seconds: Double = 3
  @Option(help: "Worker threads; each replays the whole trace.")
  var workers: Int = 1
  @Option(help: "The CPU of the first worker; the others follow. Default: the last CPUs.")
  var cpu: Int?
  @Option(help: "Ports that the trace's packets can be sent to: 2 to this number.")
  var ports: Int = 4
  @Option(help: "The longest warm-up, in seconds.")
  var warmup: Double = 40
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds \(seconds): expected more than 0, at most 3600") }
    guard (1...64).contains(workers) else { throw ValidationError("--workers \(workers): expected 1 to 64") }
    guard (2...64).contains(ports) else { throw ValidationError("--ports \(ports): expected 2 to 64") }
    guard warmup >= 0 else { throw ValidationError("--warmup \(warmup): expected 0 or more") }
  }

  func run() throws {
    let frames = try Trace(frames: PcapFile.frames(path: trace))
    let longest = 4096 - FrameMemory.headroom
    guard frames.longestFrame <= longest else {
      throw ValidationError("--trace \(trace): its longest frame has \(frames.longestFrame) bytes; expected at most \(longest)")
    }
    let ruleList = try RuleFile.load(path: rules)
    let bench = try ForwardingBench(trace: frames, rules: ruleList, workers: workers, firstCPU: cpu, outputs: ports)
    defer { bench.stop() }
    bench.warmUp(limitSeconds: warmup)
    let result = try bench.measure(seconds: seconds)
    print(json ? try result.json() : result.table())
  }
}

/// A switch on memory ports.
struct ForwardingBench {
  private let sluice: Switch

  init(trace: Trace, rules: [Rule], workers: Int, firstCPU: Int?, outputs: Int) throws {
    let cpus = ProcessInfo.processInfo.activeProcessorCount
    let first = firstCPU ?? max(0, cpus - workers)
    // Room for every packet of the trace to be a flow of its own.
    let flowLimit = max(200_000, trace.count * 5 / 4)
    var exactEntries = 1 << 17
    while exactEntries < trace.count * 2, exactEntries < 1 << 22 { exactEntries *= 2 }
    let chunkSize = trace.longestFrame + FrameMemory.headroom <= 2048 ? 2048 : 4096
    let configuration = SwitchConfiguration(
      workers: (0..<workers).map {
        WorkerConfiguration(
          cpu: (first + $0) % cpus, mode: .busy, chunkSize: chunkSize, chunkCount: 4096, flowLimit: flowLimit,
          exactEntries: exactEntries)
      }, flowIdleSeconds: 3600)
    sluice = try Switch(configuration: configuration)
    try sluice.performAndWait { core in
      for number in 2...outputs {
        _ = try core.addPort(
          name: "null\(number)", number: UInt32(number),
          queues: (0..<workers).map { WorkerQueue(worker: $0, queue: NullQueue()) }, maxFrame: 9216)
      }
      _ = core.addRules(rules)
      _ = try core.addPort(
        name: "trace", number: 1,
        queues: (0..<workers).map {
          WorkerQueue(worker: $0, queue: ReplayQueue(trace: trace, start: $0 * trace.count / workers))
        }, maxFrame: 9216)
    }
  }

  func stop() { sluice.stop() }

  private var totals: WorkerTotals { WorkerTotals(sluice.workers.map { $0.snapshot() }) }

  /// Runs until a tenth of a second passes without a new flow.
  func warmUp(limitSeconds: Double) {
    let end = Date().addingTimeInterval(limitSeconds)
    Thread.sleep(forTimeInterval: 0.3)
    var before = totals
    repeat {
      Thread.sleep(forTimeInterval: 0.1)
      let now = totals
      if now.packets > before.packets, now.misses == before.misses { return }
      before = now
    } while Date() < end
  }

  func measure(seconds: Double) throws -> ForwardResult {
    let windows = max(3, Int(seconds / 0.25))
    var best: WorkerTotals?
    var bestSeconds = 1.0
    let start = totals
    for _ in 0..<windows {
      let before = totals
      let began = ContinuousClock.now
      Thread.sleep(forTimeInterval: seconds / Double(windows))
      let window = totals - before
      let took = ContinuousClock.now - began
      let tookSeconds = Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18
      guard window.packets > 0 else { continue }
      if best.map({ window.cyclesPerPacket < $0.cyclesPerPacket }) ?? true {
        best = window
        bestSeconds = tookSeconds
      }
    }
    let whole = totals - start
    let state = try sluice.performAndWait { core in (flows: core.flowCount, masks: core.flowMaskCount) }
    guard let best else { throw ValidationError("no packet was forwarded; does a CPU for the workers exist?") }
    return ForwardResult(
      mpps: Double(best.packets) / bestSeconds / 1e6, cyclesPerPacket: best.cyclesPerPacket, packets: whole.packets,
      exactHits: whole.exactHits, classifierHits: whole.classifierHits, upcalls: whole.misses, flows: state.flows,
      masks: state.masks, rssBytes: ProcessMemory.residentBytes, stages: best.stagesPerPacket)
  }
}

/// Counters summed over workers.
struct WorkerTotals {
  var packets: UInt64 = 0
  var exactHits: UInt64 = 0
  var classifierHits: UInt64 = 0
  var misses: UInt64 = 0
  var stages: [String: UInt64] = [:]

  init(_ snapshots: [WorkerSnapshot]) {
    for worker in snapshots {
      packets += worker.packets
      exactHits += worker.exactHits
      classifierHits += worker.classifierHits
      misses += worker.misses
      for stage in worker.stages { stages[stage.name, default: 0] += stage.cycles }
    }
  }

  static func - (a: WorkerTotals, b: WorkerTotals) -> WorkerTotals {
    var r = a
    r.packets -= b.packets
    r.exactHits -= b.exactHits
    r.classifierHits -= b.classifierHits
    r.misses -= b.misses
    for (name, cycles) in b.stages { r.stages[name, default: 0] -= cycles }
    return r
  }

  var cyclesPerPacket: Double { Double(stages.values.reduce(0, +)) / Double(packets) }

  var stagesPerPacket: [(name: String, cycles: Double)] {
    WorkerStage.allCases.map { ($0.name, Double(stages[$0.name] ?? 0) / Double(packets)) }
  }
}

/// What a run of `forward` prints.
struct ForwardResult {
  var mpps: Double
  var cyclesPerPacket: Double
  var packets: UInt64
  var exactHits: UInt64
  var classifierHits: UInt64
  var upcalls: UInt64
  var flows: Int
  var masks: Int
  var rssBytes: Int
  var stages: [(name: String, cycles: Double)]

  func json() throws -> String {
    struct Shape: Encodable {
      let mpps, cyclesPerPacket: Double
      let packets, exactHits, classifierHits, upcalls: UInt64
      let flows, masks, rssBytes: Int
      let stageCycles: [String: Double]
    }
    let shape = Shape(
      mpps: mpps, cyclesPerPacket: cyclesPerPacket, packets: packets, exactHits: exactHits,
      classifierHits: classifierHits, upcalls: upcalls, flows: flows, masks: masks, rssBytes: rssBytes,
      stageCycles: Dictionary(uniqueKeysWithValues: stages))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    return String(decoding: try encoder.encode(shape), as: UTF8.self)
  }

  func table() -> String {
    var lines = [
      String(format: "%.2f Mpps, %.1f cycles/packet (TSC)", mpps, cyclesPerPacket),
      "packets \(packets)  exact hits \(exactHits)  classifier hits \(classifierHits)  upcalls \(upcalls)",
      "flows \(flows)  masks \(masks)  resident \(rssBytes / 1_048_576) MiB",
    ]
    lines.append(stages.map { String(format: "%@ %.1f", $0.name, $0.cycles) }.joined(separator: "  "))
    return lines.joined(separator: "\n")
  }
}

/// Memory of this process.
enum ProcessMemory {
  /// Resident bytes, from /proc/self/statm.
  static var residentBytes: Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(getpagesize()) : 0
  }
}

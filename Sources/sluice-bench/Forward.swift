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
    abstract: "Replays traces through the workers and prints packets per second and cycles per packet.",
    discussion: """
      EXAMPLES
        sluice-bench forward --rules acl.rules --trace acl.pcap
        sluice-bench forward --rules l3.rules --trace flows.pcap --workers 2 --seconds 5 --json
        sluice-bench forward --rules normal.rules --trace part0.pcap --trace part1.pcap --stations-at 2

      The first trace comes in by port 1, further ones by ports 101, 102 and so on; port 2 and up drop what they are sent. The rule file is
      in ovs-ofctl's syntax: a rule a line, and lines with group_id= and meter= before the rules that use them.
      """)

  @Option(help: "Rules in ovs-ofctl's syntax, one a line.")
  var rules: String
  @Option(help: "The frames to replay: a pcap file of Ethernet frames. Repeat it for more ports.")
  var trace: [String]
  @Option(help: "How long to measure, in seconds.")
  var seconds: Double = 3
  @Option(help: "Worker threads; each replays all traces.")
  var workers: Int = 1
  @Option(help: "The CPU of the first worker; the others follow. Default: the last CPUs.")
  var cpu: Int?
  @Option(help: "Ports that packets can be sent to: 2 to this number.")
  var ports: Int = 4
  @Option(help: "The port that all destination addresses of the traces are behind, learnt beforehand, for `normal` rules.")
  var stationsAt: UInt32?
  @Option(help: "The longest warm-up, in seconds.")
  var warmup: Double = 40
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds \(seconds): expected more than 0, at most 3600") }
    guard (1...64).contains(workers) else { throw ValidationError("--workers \(workers): expected 1 to 64") }
    guard (2...64).contains(ports) else { throw ValidationError("--ports \(ports): expected 2 to 64") }
    guard (1...64).contains(trace.count) else { throw ValidationError("--trace: expected 1 to 64 of them") }
    guard warmup >= 0 else { throw ValidationError("--warmup \(warmup): expected 0 or more") }
    if let stationsAt {
      guard (2...UInt32(ports)).contains(stationsAt) else { throw ValidationError("--stations-at \(stationsAt): expected 2 to \(ports)") }
    }
  }

  func run() throws {
    let longest = 4096 - FrameMemory.headroom
    let traces = try trace.map { path in
      let frames = try PcapFile.trace(path: path)
      guard frames.longestFrame <= longest else {
        throw ValidationError("--trace \(path): its longest frame has \(frames.longestFrame) bytes; expected at most \(longest)")
      }
      return frames
    }
    let ruleList = try RuleFile.load(path: rules)
    // Room for every packet of the traces to be a flow of its own.
    let packets = traces.reduce(0) { $0 + $1.count }
    let bench = try BenchSwitch(
      .init(
        flows: max(200_000, packets * 5 / 4), connections: packets, longestFrame: traces.map(\.longestFrame).max() ?? 0,
        workers: workers, firstCPU: cpu, outputs: ports))
    defer { bench.stop() }
    try bench.apply(ruleList)
    if let stationsAt { try bench.teach(traces.flatMap(\.destinations), port: stationsAt) }
    for (place, frames) in traces.enumerated() {
      try bench.addInput(
        BenchSwitch.inputNumber(place),
        (0..<workers).map { ReplayQueue(trace: frames, start: $0 * frames.count / workers) })
    }
    bench.warmUp(limitSeconds: warmup)
    let result = try measure(bench)
    print(json ? try result.json() : result.table())
  }

  private func measure(_ bench: BenchSwitch) throws -> ForwardResult {
    let windows = max(3, Int(seconds / 0.25))
    var best: WorkerTotals?
    var bestSeconds = 1.0
    let start = bench.totals
    for _ in 0..<windows {
      let before = bench.totals
      let took = timed { Thread.sleep(forTimeInterval: seconds / Double(windows)) }.seconds
      let window = bench.totals - before
      guard window.packets > 0 else { continue }
      if best.map({ window.cyclesPerPacket < $0.cyclesPerPacket }) ?? true {
        best = window
        bestSeconds = took
      }
    }
    let whole = bench.totals - start
    let state = try bench.flows()
    guard let best else { throw ValidationError("no packet was forwarded; does a CPU for the workers exist?") }
    return ForwardResult(
      mpps: Double(best.packets) / bestSeconds / 1e6, cyclesPerPacket: best.cyclesPerPacket, packets: whole.packets,
      exactHits: whole.exactHits, classifierHits: whole.classifierHits, upcalls: whole.misses, flows: state.count,
      masks: state.masks, rssBytes: ProcessMemory.residentBytes, stages: best.stagesPerPacket)
  }
}

extension Trace {
  /// The untagged stations that the frames are for, each once.
  fileprivate var destinations: [Station] {
    var seen: Set<Station> = []
    for place in 0..<count {
      let mac = frame(place).prefix(6).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      seen.insert(Station(vlan: 0, mac: mac))
    }
    return seen.filter { !$0.isMulticast }.sorted { $0.mac < $1.mac }
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
    return try jsonLine(shape)
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

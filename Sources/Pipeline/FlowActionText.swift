// FlowActionText.swift
//
// What: writes the actions of a flow, whose ports are indices, in the syntax of rules.
// Threads: pure.

import Dataplane

extension PortSet {
  /// How rule text names these ports. Reads numbers and names.
  ///
  /// - Parameter printsNames: write names instead of numbers.
  public func names(printsNames: Bool = false) -> PortNames {
    let ports = self
    return PortNames(
      number: { ports[$0]?.number },
      name: { printsNames ? ports[$0]?.name : nil })
  }

  /// Writes the actions of a flow; an empty list is `drop`.
  public func text(_ actions: [FlowAction], printsNames: Bool = false) -> String {
    guard !actions.isEmpty else { return "drop" }
    let names = names(printsNames: printsNames)
    return actions.map { text($0, names) }.joined(separator: ",")
  }

  private func text(_ action: FlowAction, _ names: PortNames) -> String {
    func list(_ actions: [FlowAction]) -> String {
      actions.isEmpty ? "drop" : actions.map { text($0, names) }.joined(separator: ",")
    }
    switch action {
    case .output(let index):
      // A port that is gone has no number any more; its index says at least which it was.
      return port(at: index).map { "output:" + ActionText.port($0.number, names: names) } ?? "output:(gone, index \(index))"
    case .setField(let field, let value, let mask): return ActionText.setField(field, value: value, mask: mask)
    case .pushVLAN(let tpid): return ActionText.text(.pushVLAN(tpid: tpid))
    case .popVLAN: return ActionText.text(.popVLAN)
    case .pushMPLS(let etherType): return "push_mpls:0x" + String(etherType, radix: 16)
    case .popMPLS(let etherType): return "pop_mpls:0x" + String(etherType, radix: 16)
    case .pushPBB: return "push_pbb:0x88e7"
    case .popPBB: return "pop_pbb"
    case .decrementTTL: return ActionText.text(.decrementTTL)
    case .decrementMPLSTTL: return "dec_mpls_ttl"
    case .copyTTLIn: return "copy_ttl_in"
    case .copyTTLOut: return "copy_ttl_out"
    case .setQueue(let queue): return "set_queue:\(queue)"
    case .meter(let meter): return "meter(" + meter.bands.map { "\($0.rate)" + (meter.perPacket ? "pktps" : "kbps") }.joined(separator: ",") + ")"
    case .select(let table, let buckets):
      let parts = zip(table.weights, buckets).map { weight, actions in "bucket(weight:\(weight),\(list(actions)))" }
      return "select(" + parts.joined(separator: ",") + ")"
    case .clone(let actions): return "clone(" + list(actions) + ")"
    case .recirculate(let id): return "recirc(0x\(String(id, radix: 16)))"
    case .controller(let maxLength, _): return ActionText.text(.controller(maxLength: maxLength))
    }
  }
}

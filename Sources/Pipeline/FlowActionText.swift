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
    return actions.map { action in
      switch action {
      case .output(let index):
        // A port that is gone has no number any more; its index says at least which it was.
        port(at: index).map { "output:" + ActionText.port($0.number, names: names) } ?? "output:(gone, index \(index))"
      case .setField(let field, let value, let mask): ActionText.setField(field, value: value, mask: mask)
      case .pushVLAN(let tpid): ActionText.text(.pushVLAN(tpid: tpid))
      case .popVLAN: ActionText.text(.popVLAN)
      case .decrementTTL: ActionText.text(.decrementTTL)
      case .controller(let maxLength, _): ActionText.text(.controller(maxLength: maxLength))
      }
    }.joined(separator: ",")
  }
}

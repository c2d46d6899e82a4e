// StayTable.swift
//
// What: the stays of flows in the tier in front of the workers, found by flow.
// How: they lie side by side, and an array per worker says by slot which one is a flow's: the clock hand asks for every flow that the tier holds, and a hash
//      for each would be most of what its look costs.
// Invariants: a place points at the entry of its flow or is 0; the last entry moves where one has gone.
// Threads: confined to the pipeline thread.
// Cost: 48 bytes a stay, and 4 bytes for each slot up to the highest that ever had one.

struct StayTable {
  typealias Entry = (flow: FlowHandle, stay: TierStay)

  /// In no order; entries move when one goes.
  private(set) var entries: [Entry] = []
  /// By worker and slot: one more than the index of the flow's entry, or 0.
  private var places: [[UInt32]] = []

  /// A flow's stay; nil ends it.
  subscript(flow: FlowHandle) -> TierStay? {
    get {
      let place = place(of: flow)
      return place == 0 ? nil : entries[Int(place) - 1].stay
    }
    set {
      let place = Int(place(of: flow))
      switch (place, newValue) {
      case (0, nil): break
      case (0, let stay?):
        entries.append((flow, stay))
        setPlace(of: flow, to: UInt32(entries.count))
      case (_, let stay?): entries[place - 1].stay = stay
      case (_, nil):
        setPlace(of: flow, to: 0)
        let last = entries.removeLast()
        guard last.flow != flow else { return }
        entries[place - 1] = last
        setPlace(of: last.flow, to: UInt32(place))
      }
    }
  }

  private func place(of flow: FlowHandle) -> UInt32 {
    guard flow.worker < places.count, Int(flow.slot) < places[flow.worker].count else { return 0 }
    return places[flow.worker][Int(flow.slot)]
  }

  private mutating func setPlace(of flow: FlowHandle, to place: UInt32) {
    while places.count <= flow.worker { places.append([]) }
    let count = places[flow.worker].count
    if count <= Int(flow.slot) {
      places[flow.worker].append(contentsOf: repeatElement(0, count: max(Int(flow.slot) + 1, 2 * count) - count))
    }
    places[flow.worker][Int(flow.slot)] = place
  }
}

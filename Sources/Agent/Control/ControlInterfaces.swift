// ControlInterfaces.swift
//
// What was changed on interfaces, remembered until it is put back: by this agent, or by the one after it when this one leaves its ports as they
// are or dies.
// Invariant: `interfaceChanges` is what the store has. A crash right after a change may forget it; one right after it was put back has it put
//            back again.
// Threads: the control thread (see Control.swift).
// Cost: a write of the store when something is to be remembered or forgotten, which it is not for a veth that is up.

import Logging
import Netlink

extension Control {
  func changesToPutBack(on link: Link) -> [InterfaceChange] {
    guard !interfaceChanges.isEmpty, let place = InterfaceChange.place(ofInterface: link.index) else { return [] }
    return interfaceChanges[place, default: []].compactMap(InterfaceChange.init(word:))
  }

  func remember(_ changes: [InterfaceChange], on link: Link) {
    guard !(interfaceChanges.isEmpty && changes.isEmpty), let place = InterfaceChange.place(ofInterface: link.index) else { return }
    keep(changes.map(\.word), place)
  }

  /// Puts an interface back that was a port's.
  func restore(_ attachment: InterfaceAttachment) {
    attachment.restore()
    remember([], on: attachment.link)
  }

  /// Puts back what an agent before changed on an interface that is no port any more.
  func putBack(on link: Link) {
    let changes = changesToPutBack(on: link)
    guard !changes.isEmpty else { return }
    changes.undo(index: link.index)
    remember([], on: link)
    logger.notice("put back what an earlier agent changed", metadata: ["interface": "\(link.name)"])
  }

  /// The same for a port that could not be opened since this agent started; the ends of an internal port's pair go as a whole.
  func putBack(onInterfaceOf port: ManagedPort) {
    guard !interfaceChanges.isEmpty, port.request.kind != .internal, var socket = try? NetlinkSocket(.route),
      let link = try? socket.link(named: port.request.interface)
    else { return }
    putBack(on: link)
  }

  /// Forgets changes of interfaces that are gone.
  func forgetChanges(except links: [Link]) {
    guard !interfaceChanges.isEmpty else { return }
    let present = Set(links.compactMap { InterfaceChange.place(ofInterface: $0.index) })
    for place in interfaceChanges.keys where !present.contains(place) { keep([], place) }
  }

  private func keep(_ words: [String], _ place: String) {
    guard interfaceChanges[place, default: []] != words else { return }
    do {
      try store.setInterfaceChanges(words, of: place)
      interfaceChanges[place] = words.isEmpty ? nil : words
    } catch {
      logger.warning("what was changed on an interface could not be remembered", metadata: ["reason": "\(error)"])
    }
  }
}

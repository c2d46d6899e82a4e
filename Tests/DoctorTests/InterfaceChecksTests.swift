// What the doctor makes of an interface.

import KernelTier
import Testing

@testable import Doctor

private func facts(_ change: (inout InterfaceFacts) -> Void) -> InterfaceFacts {
  var facts = InterfaceFacts(name: "eth1")
  facts.hook = .xdp
  facts.largestMTU = 3498
  facts.queues = 4
  facts.portQueues = 4
  change(&facts)
  return facts
}

private func bad(_ facts: InterfaceFacts, prefix: String = "") -> [Finding] {
  facts.findings(prefix: prefix).filter { $0.verdict != .ok }
}

private let foreign = XDPProgramIdentity(id: 9, name: "theirs", tag: "0123456789abcdef")

@Test func aWellInterfaceHasNothingToMend() {
  #expect(bad(facts { _ in }) == [])
  #expect(facts { _ in }.findings().allSatisfy { $0.subject == "port eth1" && $0.mend == nil })
}

@Test(arguments: [
  (facts { $0.isUp = false }, "link", Finding.Verdict.warn, "ip link set dev eth1 up"),
  (facts { $0.mtu = 9000 }, "mtu", .fail, "ip link set dev eth1 mtu 3498"),
  (facts { $0.portQueues = 1 }, "queues", .warn, "ethtool -L eth1 combined 1"),
  (facts { $0.offloads = ["rx-lro"] }, "offload", .warn, "ethtool -K eth1 lro off"),
  (facts { $0.foreign.xdp = foreign }, "foreign xdp", .fail, "ip link set dev eth1 xdp off"),
  (facts { $0.foreign.tc = "a tc filter" }, "foreign tc", .warn, "tc filter del dev eth1 ingress prio 1"),
])
func whatIsWrongHasACommandThatMendsIt(facts: InterfaceFacts, check: String, verdict: Finding.Verdict, mend: String) {
  let found = bad(facts)
  #expect(found.map(\.check) == [check])
  #expect(found.map(\.verdict) == [verdict])
  #expect(found.map(\.mend) == [mend])
}

@Test func atTCOffloadsAreWelcomeAndAFilterInOurPlaceIsNot() {
  #expect(bad(facts { ($0.hook, $0.offloads) = (.tc, ["rx-gro-hw"]) }) == [])
  #expect(bad(facts { ($0.hook, $0.foreign.tc) = (.tc, "a tc filter") }).map(\.verdict) == [.fail])
}

@Test func commandsNameTheNamespace() {
  let found = bad(facts { $0.isUp = false }, prefix: "nsenter --net=/proc/7/ns/net ")
  #expect(found.map(\.mend) == ["nsenter --net=/proc/7/ns/net ip link set dev eth1 up"])
}

@Test func anInterfaceThatIsNotThereFails() {
  let found = InterfaceChecks().findings(InterfaceFacts(name: "sluice-none0"))
  #expect(found.map(\.verdict) == [.fail])
  #expect(found.first?.message == "there is no interface sluice-none0")
}

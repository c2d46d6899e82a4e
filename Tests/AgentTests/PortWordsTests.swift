// PortWordsTests.swift
//
// Port requests from the API and the store, and the sharing of frames among queues.

import AgentAPI
import Store
import Testing

@testable import Agent

@Suite struct PortWordsTests {
  private func request(_ change: (inout Sluice_V1_AddPortRequest) -> Void) -> Sluice_V1_AddPortRequest {
    var request = Sluice_V1_AddPortRequest()
    request.name = "eth1"
    change(&request)
    return request
  }

  @Test func whatIsNotSaidHasGoodDefaults() throws {
    #expect(try PortRequest(request { _ in }) == PortRequest(name: "eth1"))
  }

  @Test func placementAndHookAreKeptInTheStore() throws {
    let wanted = try PortRequest(
      request {
        $0.placement = .eager
        $0.hook = .tc
      })
    #expect(wanted == PortRequest(name: "eth1", placement: .eager, hook: .tc))
    let port = ManagedPort(request: wanted, number: 3, origin: .operator)
    #expect(PortRequest(port.stored)?.placement == .eager && PortRequest(port.stored)?.hook == .tc)
    #expect(port.summary == "number 3, netdev on eth1, dedicated, kernel eager, hook tc")
    // What is not said follows the configuration, also when that changes.
    #expect(PortRequest(ManagedPort(request: PortRequest(name: "a"), number: 1, origin: .operator).stored)?.placement == nil)
  }

  @Test func queuesAreSorted() throws {
    #expect(try PortRequest(request { $0.queues = [3, 0] }).queues == [0, 3])
  }

  static let refused: [(Sluice_V1_AddPortRequest, String)] = {
    func make(_ change: (inout Sluice_V1_AddPortRequest) -> Void) -> Sluice_V1_AddPortRequest {
      var request = Sluice_V1_AddPortRequest()
      request.name = "eth1"
      change(&request)
      return request
    }
    return [
      (make { $0.hook = .tc; $0.mode = .shared }, "a shared port is served by XDP"),
      (make { $0.hook = .tc; $0.queues = [1] }, "tc sees all queues"),
      (make { $0.placement = .UNRECOGNIZED(9) }, "placement 9 is not known"),
      (make { $0.name = "" }, "expected 1 to 15 characters"), (make { $0.name = "a b" }, "\"a b\" cannot name a port"),
      (make { $0.name = "12" }, "at least one character that is no digit"), (make { $0.name = ".." }, "cannot name a port"),
      (make { $0.name = "0123456789abcdef" }, "expected 1 to 15 characters"), (make { $0.number = 65280 }, "expected 1 to 65279"),
      (make { $0.queues = [1, 1] }, "a queue is given twice"), (make { $0.interface = "a/b" }, "cannot name an interface"),
      (make { $0.mode = .UNRECOGNIZED(9) }, "mode 9 is not known"), (make { $0.kind = .UNRECOGNIZED(9) }, "kind 9 is not known"),
      (make { $0.kind = .internal; $0.mode = .shared }, "always dedicated"),
      (make { $0.kind = .internal; $0.interface = "eth0" }, "makes its own interface"),
      (make { $0.kind = .internal; $0.name = "abcdefghijklm" }, "may have 12"),
    ]
  }()

  @Test(arguments: refused)
  func aBadRequestSaysWhatWasExpected(request: Sluice_V1_AddPortRequest, words: String) {
    let failure = #expect(throws: PortFailure.self) { try PortRequest(request) }
    #expect(failure?.kind == .invalid)
    #expect(failure?.description.contains(words) == true, "\(failure?.description ?? "")")
  }

  @Test func theStoreGivesBackWhatItWasGiven() {
    let asked = PortRequest(name: "p", kind: .netdev, interface: "ens3", mode: .shared, number: 4, queues: [0, 2])
    let port = ManagedPort(request: asked, number: 4, origin: .operator)
    #expect(PortRequest(port.stored) == asked)
    #expect(PortRequest(StoredPort(name: "p", number: 1, kind: "tunnel", interface: "p", mode: "dedicated", queues: [])) == nil)
  }

  @Test func aRequestWithoutANumberIsTheSamePort() {
    let port = ManagedPort(request: PortRequest(name: "p"), number: 4, origin: .operator)
    #expect(port.isAsAsked(PortRequest(name: "p")) && port.isAsAsked(PortRequest(name: "p", number: 4)))
    #expect(!port.isAsAsked(PortRequest(name: "p", number: 5)) && !port.isAsAsked(PortRequest(name: "p", mode: .shared)))
  }

  @Test(arguments: [1024, 16384, 65536])
  func framesLentTogetherNeverExceedSevenEighths(frames: Int) {
    var budget = FrameBudget(frames: frames)
    while let share = budget.shareForOneMore(), share > FrameBudget.smallestShare || budget.shares.count < 16 {
      budget.take(share)
      #expect(budget.shares.reduce(0, +) <= frames - frames / 8)
      guard budget.shares.count < 500 else { break }
    }
  }

  @Test func whatTheWayUpHasIsNoQueuesToGiveBack() {
    var budget = FrameBudget(frames: 16384)
    budget.reserved = 4096
    for _ in 0..<6 {
      guard let share = budget.shareForOneMore() else { break }
      budget.take(share)
    }
    #expect(budget.shares == [2048, 2048, 2048, 2048, 1024, 1024])
    // One more has to wait for the others, which get what is fair then, and that is no little.
    #expect(budget.shareForOneMore() == nil && budget.fairShare(queues: 7) == 1024)
  }

  @Test func queuesThatWereThereBeforeTheWayUpAreOverdrawn() {
    var budget = FrameBudget(frames: 16384)
    for _ in 0..<6 { budget.take(2048) }
    #expect(!budget.isOverdrawn)
    budget.reserved = 4096
    #expect(budget.isOverdrawn)
  }

  @Test func fewQueuesGetDeepRingsAndManyShallowOnes() {
    let budget = FrameBudget(frames: 16384)
    #expect(budget.fairShare(queues: 1) == 2048)
    #expect(budget.fairShare(queues: 6) == 2048)
    #expect(budget.fairShare(queues: 7) == 1024)
    #expect(budget.fairShare(queues: 200) == 32)
  }
}

@Test(arguments: [InterfaceChange.broughtUp, .madePromiscuous, .switchedOff("rx-lro")])
func aChangeOfAnInterfaceIsReadAsItWasWritten(change: InterfaceChange) {
  #expect(InterfaceChange(word: change.word) == change)
}

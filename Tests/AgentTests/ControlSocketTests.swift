// ControlSocketTests.swift
//
// The Unix socket of the API: taking over from the dead, leaving the living alone, and who is let in.

import Foundation
import Testing

@testable import Agent

@Suite struct ControlSocketTests {
  let folder = TestFolder()
  var path: String { folder.path + "/run/sluice.sock" }

  private func mode(_ path: String) -> UInt32 {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
  }

  @Test(.enabled(if: geteuid() == 0, "giving a file to another owner takes root"))
  func theSocketIsOpenToItsOwnerAndGroupOnly() throws {
    let socket = try ControlSocket.claim(path: path, groupID: 12345)
    defer { close(socket.descriptor) }
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_gid == 12345)
    #expect(mode(path) == 0o660)
    socket.removePath()
    #expect(access(path, F_OK) != 0)
  }

  @Test func aLivingAgentKeepsItsSocketAndIsNamed() throws {
    let socket = try ControlSocket.claim(path: path, groupID: nil)
    defer { close(socket.descriptor) }
    #expect(throws: ControlSocketError.anotherAgent(path: path, processID: getpid())) {
      try ControlSocket.claim(path: path, groupID: nil)
    }
  }

  @Test func theSocketOfADeadAgentIsTakenOver() throws {
    close(try ControlSocket.claim(path: path, groupID: nil).descriptor)
    let socket = try ControlSocket.claim(path: path, groupID: nil)
    close(socket.descriptor)
  }

  @Test func aPathThatSomethingElseTookIsNotRemoved() throws {
    let socket = try ControlSocket.claim(path: path, groupID: nil)
    defer { close(socket.descriptor) }
    // The old file stays under another name, so that its inode number cannot be given out again.
    #expect(rename(path, path + ".old") == 0)
    try Data().write(to: URL(filePath: path))
    socket.removePath()
    #expect(access(path, F_OK) == 0)
  }

  @Test func aFileThatIsNoSocketIsLeftAlone() throws {
    let file = folder.path + "/file"
    try Data("precious".utf8).write(to: URL(filePath: file))
    #expect(throws: ControlSocketError.notASocket(path: file)) { try ControlSocket.claim(path: file, groupID: nil) }
    #expect(try Data(contentsOf: URL(filePath: file)) == Data("precious".utf8))
  }

  @Test func aPathThatDoesNotFitIsRefused() {
    #expect(throws: ControlSocketError.self) {
      try ControlSocket.claim(path: "/" + String(repeating: "x", count: 107), groupID: nil)
    }
  }

  @Test func theKernelSaysWhoIsAtTheOtherEnd() throws {
    var ends: [Int32] = [0, 0]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    defer { ends.forEach { close($0) } }
    let peer = try #require(PeerCredentials(of: ends[0]))
    #expect(peer.processID == getpid() && peer.userID == geteuid() && peer.groupID == getegid())
  }

  @Test func onlyRootAndMembersOfTheGroupAreAdmitted() {
    let member = PeerCredentials(processID: 1, userID: 1000, groupID: 50)
    let other = PeerCredentials(processID: 1, userID: 1000, groupID: 1000, groups: [4, 50])
    let stranger = PeerCredentials(processID: 1, userID: 1000, groupID: 1000, groups: [4])
    let root = PeerCredentials(processID: 1, userID: 0, groupID: 0)
    let rule = AdmissionRule(groupID: 50)
    #expect(rule.admits(member) && rule.admits(other) && rule.admits(root) && !rule.admits(stranger))
    let rootOnly = AdmissionRule(groupID: nil)
    #expect(rootOnly.admits(root) && !rootOnly.admits(member))
  }
}

/// A folder that goes when the test ends.
final class TestFolder: Sendable {
  let path: String

  init() {
    path = NSTemporaryDirectory() + "/sluice-agent-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

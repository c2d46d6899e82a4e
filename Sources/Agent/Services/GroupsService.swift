// GroupsService.swift
//
// gRPC service sluice.v1.Groups.
// Threads: gRPC's tasks; the work is the control actor's, text is made on the pipeline thread, where the groups are.
// Cost: listing walks all rules once to count who uses a group.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline

struct GroupsService: Sluice_V1_Groups.SimpleServiceProtocol {
  let context: AgentServiceContext

  func add(request: Sluice_V1_GroupText, context call: ServerContext) async throws -> Sluice_V1_ChangeGroupsReply {
    try await change(request, isModification: false)
  }

  func modify(request: Sluice_V1_GroupText, context call: ServerContext) async throws -> Sluice_V1_ChangeGroupsReply {
    try await change(request, isModification: true)
  }

  private func change(_ request: Sluice_V1_GroupText, isModification: Bool) async throws -> Sluice_V1_ChangeGroupsReply {
    try await context.answer {
      var reader = RuleReader(.groups(isChange: isModification), ports: await context.control.portNumbers())
      for line in request.lines { reader.read(line) }
      try reader.check()
      let (changed, unchanged) = try await context.applyDifferences(reader) { request, core in
        switch request {
        case .addGroup(let group), .modifyGroup(let group): core.groups[group.id]?.group == group
        default: false
        }
      }
      var reply = Sluice_V1_ChangeGroupsReply()
      reply.changed = changed
      reply.unchanged = unchanged
      return reply
    }
  }

  func delete(request: Sluice_V1_DeleteGroupsRequest, context call: ServerContext) async throws -> Sluice_V1_DeleteGroupsReply
  {
    try await context.answer {
      let known = try await context.plane.perform { core in Set(core.groups.all.map(\.group.id)) }
      try context.checkDeletion(of: request.ids, all: request.all, known: known, what: "group")
      var reply = Sluice_V1_DeleteGroupsReply()
      guard !known.isEmpty else { return reply }
      let requests: [RuleChangeRequest] = request.all ? [.deleteGroup(nil)] : request.ids.map { .deleteGroup($0) }
      let change = try await context.control.apply(RuleBundle(requests))
      reply.deleted = UInt64(change.removedGroups)
      reply.deletedRules = UInt64(change.removed)
      return reply
    }
  }

  func list(
    request: Sluice_V1_ListGroupsRequest, response: RPCWriter<Sluice_V1_ListGroupsReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let wanted = Set(request.ids)
      let names = await context.control.portNames()
      let groups = try await context.plane.perform { core in
        core.groupList().filter { wanted.isEmpty || wanted.contains($0.group.id) }
          .map { Sluice_V1_Group($0, core: core, names: names) }
      }
      if let unknown = request.ids.first(where: { id in !groups.contains { $0.id == id } }) {
        throw RPCError(code: .notFound, message: "there is no group \(unknown)")
      }
      for batch in groups.inBatches() {
        var reply = Sluice_V1_ListGroupsReply()
        reply.groups = Array(batch)
        try await response.write(reply)
      }
    }
  }
}

extension Sluice_V1_Group {
  init(_ snapshot: GroupSnapshot, core: SwitchCore, names: PortNames) {
    self.init()
    let group = snapshot.group
    id = group.id
    type = group.kind.name
    text = group.text(names: .none)
    matched = Sluice_V1_Traffic(packets: snapshot.packets, bytes: snapshot.bytes)
    durationSeconds = UInt64(max(0, snapshot.ageSeconds))
    references = UInt32(clamping: snapshot.referenceCount)
    buckets = zip(group.buckets, snapshot.buckets).map { bucket, count in
      var message = Sluice_V1_GroupBucket()
      message.id = bucket.id
      message.weight = UInt32(bucket.weight)
      message.actions = ActionText.text(bucket.actions, names: names)
      message.live = core.groups.isLive(bucket, ports: core.ports)
      message.matched = Sluice_V1_Traffic(packets: count.packets, bytes: count.bytes)
      if let port = bucket.watchPort { message.watchPort = port }
      if let watched = bucket.watchGroup { message.watchGroup = watched }
      return message
    }
  }
}

// GroupText.swift
//
// What: reads and writes groups in ovs-ofctl's syntax:
//       `group_id=1,type=select,bucket=weight:100,actions=output:2,bucket=watch_port:3,actions=output:3`.
// Invariants: what `text` writes is read back as the same group. Hostile text is refused with a SyntaxError, never a trap.
// Threads: pure.
// Source: ovs-ofctl(8), "Group Syntax".

import Dataplane

extension Group {
  /// Reads a group.
  ///
  /// - Parameter names: knows the names of ports.
  public init(text: String, names: PortNames = .none) throws(SyntaxError) {
    let line = TextPiece(text)
    let starts = Self.bucketStarts(line)
    var head = TextItems(line.part(line.start, starts.first?.whole ?? line.end))
    var id: UInt32?
    var kind: GroupKind?
    while let item = head.nextField() {
      switch item.key.string {
      case "group_id":
        guard let number = item.value?.number, number <= UInt64(Group.largestID) else {
          throw item.whole.error("not the number of a group", expected: "group_id=0 to group_id=\(Group.largestID)")
        }
        id = UInt32(number)
      case "type": kind = try Self.kind(item)
      default: throw item.key.error("not a word of a group", expected: "group_id, type or bucket")
      }
    }
    guard let id else { throw line.error("the group has no number", expected: "group_id=1") }
    guard let kind else { throw line.error("the group has no type", expected: "type=all, select, indirect or fast_failover") }
    var buckets: [GroupBucket] = []
    for (position, start) in starts.enumerated() {
      let end = position + 1 < starts.count ? starts[position + 1].whole : line.end
      var reader = BucketReader(kind: kind, names: names)
      buckets.append(try reader.read(line.part(start.value, end), position: UInt32(position)))
    }
    self.init(id: id, kind: kind, buckets: buckets)
  }

  private static func kind(_ item: TextItem) throws(SyntaxError) -> GroupKind {
    let word = item.value?.string ?? ""
    if word == "ff" { return .fastFailover }
    guard let kind = GroupKind.allCases.first(where: { $0.name == word }) else {
      throw item.whole.error("not a type of a group", expected: "all, select, indirect or fast_failover")
    }
    return kind
  }

  /// Where `bucket=` stands at the beginning of an item, and where its value begins.
  private static func bucketStarts(_ line: TextPiece) -> [(whole: Int, value: Int)] {
    let word = Array("bucket=".utf8)
    var starts: [(whole: Int, value: Int)] = []
    var position = line.start
    var depth = 0
    while position < line.end {
      switch line.bytes[position] {
      case UInt8(ascii: "("): depth += 1
      case UInt8(ascii: ")"): depth = max(0, depth - 1)
      default: break
      }
      let before = position > line.start ? line.bytes[position - 1] : UInt8(ascii: ",")
      let isAtItem = before == UInt8(ascii: ",") || before <= UInt8(ascii: " ")
      if depth == 0, isAtItem, line.end - position >= word.count,
        word.indices.allSatisfy({ line.bytes[position + $0] == word[$0] })
      {
        starts.append((position, position + word.count))
        position += word.count
        continue
      }
      position += 1
    }
    return starts
  }

  /// Writes the group on one line.
  public func text(names: PortNames = .none) -> String {
    var items = ["group_id=\(id)", "type=\(kind.name)"]
    for (position, bucket) in buckets.enumerated() {
      items.append("bucket=" + bucket.text(kind: kind, position: UInt32(position), names: names))
    }
    return items.joined(separator: ",")
  }
}

extension GroupBucket {
  /// Writes the bucket as it stands in a group; an id that is the bucket's position is not written.
  func text(kind: GroupKind, position: UInt32, names: PortNames) -> String {
    var items: [String] = []
    if id != position { items.append("bucket_id:\(id)") }
    if kind == .select { items.append("weight:\(weight)") }
    if let watchPort { items.append("watch_port:\(names.format(watchPort))") }
    if let watchGroup { items.append("watch_group:\(watchGroup)") }
    items.append("actions=" + ActionText.text(actions, names: names))
    return items.joined(separator: ",")
  }
}

/// Reads what stands behind `bucket=`.
private struct BucketReader {
  let kind: GroupKind
  let names: PortNames

  mutating func read(_ text: TextPiece, position: UInt32) throws(SyntaxError) -> GroupBucket {
    var bucket = GroupBucket(id: position, actions: [])
    var items = TextItems(text)
    var rest = items.rest
    scan: while let item = try items.nextAction() {
      switch item.key.string {
      case "bucket_id": bucket.id = try number(item, UInt64(Group.largestID))
      case "weight":
        guard kind == .select else { throw item.whole.error("only buckets of a select group have a weight", expected: "type=select") }
        bucket.weight = try number(item, UInt64(UInt16.max))
      case "watch_port":
        guard let value = item.value else { throw item.whole.error("no port is named", expected: "watch_port:PORT") }
        bucket.watchPort = try names.parse(value)
      case "watch_group": bucket.watchGroup = try number(item, UInt64(Group.largestID))
      case "actions", "action":
        // All that follows, and what stands right behind the sign.
        rest = text.part((item.value ?? item.key).start, text.end)
        break scan
      default: break scan
      }
      rest = items.rest
    }
    let actions = Self.trimmed(rest)
    guard !actions.isEmpty else { throw text.error("the bucket has no actions", expected: "actions=... at its end, such as actions=output:2") }
    bucket.actions = try ActionText.parse(actions, match: nil, names: names)
    return bucket
  }

  private func number<T: FixedWidthInteger>(_ item: TextItem, _ limit: UInt64) throws(SyntaxError) -> T {
    guard let number = item.value?.number, number <= limit, let value = T(exactly: number) else {
      throw item.whole.error("not a number", expected: "\(item.key.printable):0 to \(limit)")
    }
    return value
  }

  /// Without the commas and blanks at the end, which belong to the next bucket.
  private static func trimmed(_ piece: TextPiece) -> TextPiece {
    var end = piece.end
    while end > piece.start, piece.bytes[end - 1] == UInt8(ascii: ",") || piece.bytes[end - 1] <= UInt8(ascii: " ") { end -= 1 }
    return piece.part(piece.start, end)
  }
}

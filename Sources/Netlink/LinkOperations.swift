// LinkOperations.swift
//
// What: what `ip link` does: list, make, change and remove interfaces, in the socket's namespace.
// Invariants: names are checked by the kernel's own rule before anything is sent, because the kernel answers a bad one with no
//             more than "Invalid argument". An error names the interface, not only its index.
// Threads: those of NetlinkSocket.
// Cost: one request each; an error costs an ioctl on top, to find the interface's name.

import CLibmnl

extension NetlinkSocket {
  // MARK: Reading

  /// All interfaces of the namespace, by index.
  ///
  /// `// ip link show`
  public mutating func links() throws(NetlinkError) -> [Link] {
    let operation = "ip link show"
    let answers = try dump(.listLinks(), operation: operation)
    return try parsing(operation) { () throws(MalformedMessage) in try Self.links(in: answers) }
      .sorted { $0.index < $1.index }
  }

  /// The interface with this name, or this alternative name.
  ///
  /// `// ip link show dev NAME`
  /// - Throws: `.notFound` when there is none.
  public mutating func link(named name: String) throws(NetlinkError) -> Link {
    let operation = "ip link show dev \(name)"
    try Self.check(name, limit: Link.longestAltName, operation)
    return try one(request(.getLink(name: name), operation: operation), operation)
  }

  /// `// ip link show`, for one index
  ///
  /// - Throws: `.notFound` when there is none.
  public mutating func link(index: Int32) throws(NetlinkError) -> Link {
    let operation = "ip link show, index \(index)"
    guard index > 0 else { throw .invalidArgument(operation: operation, reason: "an index is 1 or more") }
    return try one(request(.getLink(index: index), operation: operation), operation)
  }

  /// The other end of a veth, wherever it is.
  ///
  /// `// ip -n NS link show`, for one index, from outside
  /// - Parameter link: an interface of this namespace.
  /// - Throws: `.notFound` when there is no other end; `.kernel` before Linux 5.0 when it is in another namespace, because such a kernel
  ///   ignores what is asked for.
  public mutating func peer(of link: Link) throws(NetlinkError) -> Link {
    let operation = "ip link show, peer of \(link.name)"
    guard let index = link.peerIndex else { throw .notFound(operation: operation, what: "it has no peer") }
    guard let namespace = link.linkNamespaceID else { return try self.link(index: index) }
    let found = try one(request(.getLink(index: index, namespaceNumber: namespace), operation: operation), operation)
    // A kernel that does not know the attribute answers with what has the index here.
    guard found.peerIndex == link.index, found.kind == link.kind else {
      throw .notFound(operation: operation, what: "this kernel does not show interfaces of other namespaces")
    }
    return found
  }

  /// The number by which this socket's namespace knows another one (`Link.linkNamespaceID`); nil when it has none for it.
  ///
  /// `// ip netns list-id`
  public mutating func number(of namespace: borrowing NetworkNamespace) throws(NetlinkError) -> Int32? {
    let operation = "ip netns list-id"
    var request = NetlinkRequest(type: RTM_GETNSID)
    request.put(header: rtgenmsg())
    request.put(NETNSA_FD, i32: namespace.fileDescriptor)
    for answer in try self.request(request, operation: operation) {
      let number = try parsing(operation) { () throws(MalformedMessage) -> Int32? in
        // `struct rtgenmsg` is one byte, padded to four.
        for attribute in try answer.attributes(after: 4) where attribute.type == NETNSA_NSID { return try attribute.i32() }
        return nil
      }
      if let number { return number >= 0 ? number : nil }
    }
    return nil
  }

  // MARK: Making and removing

  /// Makes a pair of interfaces that are the two ends of a wire.
  ///
  /// `// ip link add NAME mtu MTU type veth peer name PEER mtu MTU netns NS`
  /// - Parameters:
  ///   - mtu: bytes, for both ends; nil: 1500.
  ///   - queues: receive and transmit queues of each end; nil: the kernel's default, one per CPU.
  ///   - peerNamespace: descriptor of the namespace that the peer is made in; nil: the socket's own.
  /// - Returns: the near end; its `peerIndex` is the far one's.
  /// - Throws: `.kernel(EEXIST)` when a name is taken.
  @discardableResult
  public mutating func createVeth(
    _ near: VethEnd, peer: VethEnd, mtu: UInt32? = nil, queues: UInt32? = nil, peerNamespace: Int32? = nil
  ) throws(NetlinkError) -> Link {
    let operation = "ip link add \(near.name) type veth peer name \(peer.name)"
    for end in [near, peer] {
      try Self.check(end.name, limit: Link.longestName, operation)
      if let address = end.macAddress { try Self.check(address, operation) }
    }
    let request = NetlinkRequest.createVeth(
      near, peer: peer, mtu: mtu, queues: queues, peerNamespace: peerNamespace)
    _ = try self.request(request, operation: operation)
    return try link(named: near.name)
  }

  /// As `createVeth(_:peer:mtu:queues:peerNamespace:)`, with names only.
  @discardableResult
  public mutating func createVeth(
    name: String, peer: String, mtu: UInt32? = nil, queues: UInt32? = nil, peerNamespace: Int32? = nil
  ) throws(NetlinkError) -> Link {
    try createVeth(
      VethEnd(name: name), peer: VethEnd(name: peer), mtu: mtu, queues: queues, peerNamespace: peerNamespace)
  }

  /// Removes an interface; with one end of a veth, the other one goes too.
  ///
  /// `// ip link delete dev NAME`
  /// - Throws: `.notFound` when it is gone already.
  public mutating func deleteLink(index: Int32) throws(NetlinkError) {
    try change(index, "ip link delete dev", "", .deleteLink(index: index))
  }

  // MARK: Changing

  /// `// ip link set dev NAME up`
  public mutating func setUp(index: Int32) throws(NetlinkError) {
    try set(index, "up", .setLink(index: index, flags: .up, mask: .up))
  }

  /// `// ip link set dev NAME down`
  public mutating func setDown(index: Int32) throws(NetlinkError) {
    try set(index, "down", .setLink(index: index, flags: [], mask: .up))
  }

  /// `// ip link set dev NAME promisc on`
  public mutating func setPromiscuous(_ on: Bool, index: Int32) throws(NetlinkError) {
    try set(
      index, "promisc \(on ? "on" : "off")",
      .setLink(index: index, flags: on ? .promiscuous : [], mask: .promiscuous))
  }

  /// `// ip link set dev NAME mtu BYTES`
  /// - Throws: `.kernel(EINVAL)` with the limit in the extack text when the driver cannot carry it.
  public mutating func setMTU(_ bytes: UInt32, index: Int32) throws(NetlinkError) {
    var request = NetlinkRequest.setLink(index: index)
    request.put(IFLA_MTU, u32: bytes)
    try set(index, "mtu \(bytes)", request)
  }

  /// `// ip link set dev NAME address MAC`
  /// - Parameter address: 6 bytes.
  public mutating func setMAC(_ address: [UInt8], index: Int32) throws(NetlinkError) {
    try Self.check(address, "ip link set address")
    var request = NetlinkRequest.setLink(index: index)
    request.put(IFLA_ADDRESS, bytes: address)
    try set(index, "address \(macText(address))", request)
  }

  /// `// ip link set dev NAME name NEW`
  /// - Throws: `.kernel(EEXIST)` when the name is taken; `.kernel(EBUSY)` on kernels before 6.2 when the interface is up.
  public mutating func rename(index: Int32, to name: String) throws(NetlinkError) {
    try Self.check(name, limit: Link.longestName, "ip link set name \(name)")
    var request = NetlinkRequest.setLink(index: index)
    request.put(IFLA_IFNAME, string: name)
    try set(index, "name \(name)", request)
  }

  /// Writes a remark on an interface, which `ip link show` shows; "" removes it.
  ///
  /// `// ip link set dev NAME alias TEXT`
  /// - Parameter text: at most 255 bytes.
  public mutating func setAlias(_ text: String, index: Int32) throws(NetlinkError) {
    guard text.utf8.count < 256, !text.utf8.contains(0) else {
      throw .invalidArgument(operation: "ip link set alias", reason: "an alias has at most 255 bytes, none of them 0")
    }
    var request = NetlinkRequest.setLink(index: index)
    request.put(IFLA_IFALIAS, bytes: Array(text.utf8))
    try set(index, "alias \(text)", request)
  }

  /// Lets packets wait in front of an interface, first in, first out, instead of being dropped while it is busy.
  ///
  /// `// tc qdisc replace dev NAME root pfifo limit PACKETS`
  public mutating func setQueue(packets: UInt32, index: Int32) throws(NetlinkError) {
    var request = NetlinkRequest(type: RTM_NEWQDISC, flags: NLM_F_CREATE | NLM_F_REPLACE)
    var header = tcmsg()
    header.tcm_ifindex = index
    header.tcm_parent = UInt32.max  // TC_H_ROOT
    request.put(header: header)
    request.put(TCA_KIND, string: "pfifo")
    // struct tc_fifo_qopt
    request.put(TCA_OPTIONS, u32: packets)
    try set(index, "root pfifo limit \(packets)", request)
  }

  /// Moves an interface to another namespace. It arrives there down, without addresses, and, if its index is taken there,
  /// with another one.
  ///
  /// `// ip link set dev NAME netns NS name NEW`
  /// - Parameters:
  ///   - namespace: an open descriptor of it.
  ///   - name: what to call it there; nil: the same.
  public mutating func move(
    index: Int32, toNamespace namespace: Int32, name: String? = nil
  ) throws(NetlinkError) {
    if let name { try Self.check(name, limit: Link.longestName, "ip link set name \(name)") }
    var request = NetlinkRequest.setLink(index: index)
    request.put(IFLA_NET_NS_FD, i32: namespace)
    if let name { request.put(IFLA_IFNAME, string: name) }
    try set(index, "netns (descriptor \(namespace))", request)
  }

  // MARK: Parts

  private mutating func set(
    _ index: Int32, _ words: String, _ request: consuming NetlinkRequest
  ) throws(NetlinkError) {
    try change(index, "ip link set dev", " \(words)", request)
  }

  private mutating func change(
    _ index: Int32, _ verb: String, _ words: String, _ request: consuming NetlinkRequest
  ) throws(NetlinkError) {
    // To the kernel, index 0 with no name is "any"; it must never be sent.
    guard index > 0 else {
      throw .invalidArgument(operation: "\(verb) (index \(index))\(words)", reason: "an index is 1 or more")
    }
    do {
      _ = try self.request(request, operation: verb)
    } catch {
      throw error.during("\(verb) \(nameForPeople(index))\(words)")
    }
  }

  private func one(_ answers: [NetlinkMessage], _ operation: String) throws(NetlinkError) -> Link {
    let links = try parsing(operation) { () throws(MalformedMessage) in try Self.links(in: answers) }
    guard let link = links.first else { throw .notFound(operation: operation, what: "no such interface") }
    return link
  }

  private static func links(in answers: [NetlinkMessage]) throws(MalformedMessage) -> [Link] {
    var links: [Link] = []
    for answer in answers {
      if let link = try Link(answer) { links.append(link) }
    }
    return links
  }

  /// Checks a name by the rule of the kernel's dev_valid_name.
  private static func check(_ name: String, limit: Int, _ operation: String) throws(NetlinkError) {
    let refused = name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") || $0 <= 0x20 }
    guard !name.isEmpty, name.utf8.count <= limit, name != ".", name != "..", !refused else {
      throw .invalidArgument(
        operation: operation,
        reason: "\"\(name)\" is no name for an interface: expected 1 to \(limit) bytes without '/', ':' or spaces")
    }
  }

  private static func check(_ address: [UInt8], _ operation: String) throws(NetlinkError) {
    guard address.count == 6 else {
      throw .invalidArgument(operation: operation, reason: "a MAC address has 6 bytes, not \(address.count)")
    }
  }
}

/// An address as `ip link` prints it: 02:00:00:00:00:01.
private func macText(_ address: [UInt8]) -> String {
  address.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
}

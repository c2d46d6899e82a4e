// NetlinkRequest.swift
//
// What: one message to the kernel, built from front to back: header, the family's fixed struct, attributes, nests of
//       attributes. It has no socket, so its bytes can be compared with captured ones in a test.
// Invariants: the bytes are a well-formed message after every call: lengths are right, padding is zero. An attribute
//             that does not fit in its 16-bit length is left out, and `isTooLong` says so; such a request is never sent.
// Threads: confined to its owner (~Copyable).
// Cost: one allocation of 512 bytes, doubled when a message outgrows it.

import CLibmnl

/// A netlink message under construction.
///
///     var request = NetlinkRequest(type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL)
///     request.put(header: ifinfomsg())
///     request.put(IFLA_IFNAME, string: "veth0")
///     request.nest(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, string: "veth") }
public struct NetlinkRequest: ~Copyable {
  /// The memory is owned by this value, freed by it, and seen by nobody else. Attributes move when it grows, so positions
  /// inside it are kept as offsets, never as pointers. What is behind the message is zero, because libmnl does not write
  /// the padding of an attribute.
  private var memory: UnsafeMutableRawPointer
  private var capacity: Int

  /// Whether an attribute or a nest was longer than 65,535 bytes, the most that its length field can say.
  public private(set) var isTooLong = false

  /// Starts a message. NLM_F_REQUEST is always set; the socket adds the sequence number, and NLM_F_ACK where it wants one.
  public init(type: Int, flags: Int32 = 0) {
    capacity = 512
    memory = Self.zeroed(capacity)
    let header = mnl_nlmsg_put_header(memory)
    header?.pointee.nlmsg_type = UInt16(truncatingIfNeeded: type)
    header?.pointee.nlmsg_flags = UInt16(truncatingIfNeeded: flags | NLM_F_REQUEST)
  }

  deinit { memory.deallocate() }

  /// The finished message.
  public var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(start: memory, count: length)) }

  /// Bytes so far.
  public var length: Int { Int(memory.load(as: nlmsghdr.self).nlmsg_len) }

  private var header: UnsafeMutablePointer<nlmsghdr> { memory.assumingMemoryBound(to: nlmsghdr.self) }

  /// Appends the fixed struct that the family expects behind the header: `ifinfomsg`, `ifaddrmsg`, `genlmsghdr`.
  public mutating func put<Header: BitwiseCopyable>(header value: Header) {
    reserve(MemoryLayout<Header>.size)
    guard let place = mnl_nlmsg_put_extra_header(header, MemoryLayout<Header>.size) else { return }
    withUnsafeBytes(of: value) { place.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(place), byteCount: $0.count) }
  }

  public mutating func put(_ type: Int, u8 value: UInt8) { putInteger(type, value) }
  public mutating func put(_ type: Int, u16 value: UInt16) { putInteger(type, value) }
  public mutating func put(_ type: Int, u32 value: UInt32) { putInteger(type, value) }
  public mutating func put(_ type: Int, u64 value: UInt64) { putInteger(type, value) }
  /// A descriptor or an interface index: a u32 on the wire.
  public mutating func put(_ type: Int, i32 value: Int32) { putInteger(type, value) }

  /// Appends text with the NUL behind it that most string attributes end with.
  public mutating func put(_ type: Int, string value: String) {
    var text = Array(value.utf8)
    text.append(0)
    put(type, bytes: text)
  }

  /// Appends an attribute that says all by being there.
  public mutating func put(flag type: Int) { put(type, bytes: []) }

  public mutating func put(_ type: Int, bytes: [UInt8]) {
    bytes.withUnsafeBytes { putAttribute(type, $0) }
  }

  /// Appends an attribute made of attributes.
  ///
  /// The closure gets this same request, to append to:
  /// `request.nest(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, string: "veth") }`
  public mutating func nest(_ type: Int, _ body: (inout NetlinkRequest) -> Void) {
    reserve(MemoryLayout<nlattr>.size)
    let start = length
    _ = mnl_attr_nest_start(header, UInt16(truncatingIfNeeded: type))
    body(&self)
    guard length - start <= Int(UInt16.max) else {
      // Cut back to before the nest, so that what is left is well-formed.
      (memory + start).initializeMemory(as: UInt8.self, repeating: 0, count: length - start)
      header.pointee.nlmsg_len = UInt32(start)
      isTooLong = true
      return
    }
    mnl_attr_nest_end(header, (memory + start).assumingMemoryBound(to: nlattr.self))
  }

  /// Stamps the message for sending and hands its bytes to `body`.
  mutating func withBytes<Result>(sequence: UInt32, flags: Int32, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    header.pointee.nlmsg_seq = sequence
    header.pointee.nlmsg_flags |= UInt16(truncatingIfNeeded: flags)
    return body(UnsafeRawBufferPointer(start: memory, count: length))
  }

  private mutating func putInteger<Value: FixedWidthInteger>(_ type: Int, _ value: Value) {
    withUnsafeBytes(of: value) { putAttribute(type, $0) }
  }

  private mutating func putAttribute(_ type: Int, _ value: UnsafeRawBufferPointer) {
    guard value.count + MemoryLayout<nlattr>.size <= Int(UInt16.max) else {
      isTooLong = true
      return
    }
    reserve(MemoryLayout<nlattr>.size + value.count)
    mnl_attr_put(header, UInt16(truncatingIfNeeded: type), value.count, value.baseAddress ?? UnsafeRawPointer(memory))
  }

  private static func zeroed(_ count: Int) -> UnsafeMutableRawPointer {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 8)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    return memory
  }

  /// Makes room for `count` more bytes and the padding behind them.
  private mutating func reserve(_ count: Int) {
    let needed = length + count + 2 * Int(MNL_ALIGNTO)
    guard needed > capacity else { return }
    let grown = max(needed, capacity * 2)
    let larger = Self.zeroed(grown)
    larger.copyMemory(from: memory, byteCount: length)
    memory.deallocate()
    memory = larger
    capacity = grown
  }
}

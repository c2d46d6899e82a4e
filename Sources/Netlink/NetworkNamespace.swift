// NetworkNamespace.swift
//
// What: an open network namespace: found by name, path or process, or made, and the way to do something inside it.
// Invariants: the descriptor keeps the namespace alive; a namespace is told from another by `identity`, never by its name,
//             which can be moved to another one. Names are those of `ip netns`: files in /run/netns.
// Threads: any may use it. What is done inside runs on a thread of its own, because a thread that entered a namespace is lost
//          for everything else: the threads of a pool must never do it.
// Cost: opening is three system calls; `run` is a thread that lives for the call, 20 us.

import CSluice
import Glibc

/// A network namespace, kept alive while this value lives.
public struct NetworkNamespace: ~Copyable, Sendable {
  /// Where `ip netns` keeps its names.
  public static let directory = "/run/netns"

  /// What tells namespaces apart: the file of the namespace in the kernel's own file system.
  public struct Identity: Hashable, Sendable {
    public var device: UInt64
    public var inode: UInt64
  }

  public let fileDescriptor: Int32

  /// Opens the namespace that `ip netns` calls `name`.
  ///
  /// - Throws: `.notFound` when there is none, `.invalidArgument` for a name that cannot be one.
  public init(named name: String) throws(NetlinkError) {
    try self.init(path: try Self.path(of: name, operation: "open network namespace \(name)"))
  }

  /// Opens the namespace of a process: `/proc/PID/ns/net`.
  public init(process: Int32) throws(NetlinkError) {
    try self.init(path: "/proc/\(process)/ns/net")
  }

  /// Opens the namespace of the calling thread.
  public static func current() throws(NetlinkError) -> NetworkNamespace {
    try NetworkNamespace(path: "/proc/thread-self/ns/net")
  }

  /// Opens the namespace that a file stands for.
  ///
  /// - Throws: `.notFound` when the file is not there, `.invalidArgument` when it is not a network namespace.
  public init(path: String) throws(NetlinkError) {
    let operation = "open network namespace \(path)"
    // O_NONBLOCK: a path that names a pipe must not make the caller wait for its writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT { throw .notFound(operation: operation, what: "no such file") }
      throw .kernel(operation: operation, errno: errno, extack: nil)
    }
    guard sluice_check_network_namespace(descriptor) == 0 else {
      close(descriptor)
      throw .invalidArgument(operation: operation, reason: "it is not a network namespace")
    }
    fileDescriptor = descriptor
  }

  /// Takes over a descriptor that is known to be open on a network namespace.
  private init(adopting descriptor: Int32) { fileDescriptor = descriptor }

  deinit { close(fileDescriptor) }

  /// What tells this namespace from all others.
  public func identity() throws(NetlinkError) -> Identity {
    var status = stat()
    guard fstat(fileDescriptor, &status) == 0 else {
      throw .kernel(operation: "identify a network namespace", errno: errno, extack: nil)
    }
    return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  // MARK: Making and removing

  /// Makes a namespace without a name: it ends when this value and its last user are gone.
  ///
  /// `// unshare --net`
  /// - Throws: `.kernel(EPERM)` without CAP_SYS_ADMIN.
  public static func unnamed() throws(NetlinkError) -> NetworkNamespace {
    let operation = "make a network namespace"
    let opened = NamespaceThread.run { () -> (descriptor: Int32, errno: Int32) in
      let refused = sluice_new_network_namespace()
      guard refused == 0 else { return (-1, refused) }
      let descriptor = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
      return (descriptor, descriptor < 0 ? errno : 0)
    }
    switch opened {
    case .failure(let code): throw .kernel(operation: operation, errno: code.errno, extack: nil)
    case .success(let result):
      guard result.errno == 0 else { throw .kernel(operation: operation, errno: result.errno, extack: nil) }
      return NetworkNamespace(adopting: result.descriptor)
    }
  }

  /// Makes a namespace and gives it a name that `ip netns` knows too.
  ///
  /// `// ip netns add NAME`
  /// - Throws: `.kernel(EEXIST)` when the name is taken.
  public static func create(name: String) throws(NetlinkError) -> NetworkNamespace {
    let operation = "ip netns add \(name)"
    let path = try path(of: name, operation: operation)
    let namespace = try unnamed()
    try prepareDirectory(operation)
    let file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0)
    guard file >= 0 else { throw .kernel(operation: operation, errno: errno, extack: nil) }
    close(file)
    let refused = sluice_mount_bind("/proc/self/fd/\(namespace.fileDescriptor)", path)
    guard refused == 0 else {
      unlink(path)
      throw .kernel(operation: operation, errno: refused, extack: nil)
    }
    return namespace
  }

  /// Takes a namespace's name away. The namespace ends, and the interfaces in it with it, when nobody uses it any more.
  ///
  /// `// ip netns delete NAME`
  /// - Throws: `.notFound` when there is no such name.
  public static func delete(name: String) throws(NetlinkError) {
    let operation = "ip netns delete \(name)"
    let path = try path(of: name, operation: operation)
    // EINVAL: nothing is mounted there, as after a crash between the two steps of making it; the file goes all the same.
    let unmounted = sluice_unmount_lazily(path)
    guard unmounted == 0 || unmounted == EINVAL || unmounted == ENOENT else {
      throw .kernel(operation: operation, errno: unmounted, extack: nil)
    }
    guard unlink(path) == 0 else {
      if errno == ENOENT { throw .notFound(operation: operation, what: "no such network namespace") }
      throw .kernel(operation: operation, errno: errno, extack: nil)
    }
  }

  /// The names in /run/netns, sorted.
  ///
  /// `// ip netns list`
  public static func names() throws(NetlinkError) -> [String] {
    guard let listing = opendir(directory) else {
      if errno == ENOENT { return [] }
      throw .kernel(operation: "ip netns list", errno: errno, extack: nil)
    }
    defer { closedir(listing) }
    var names: [String] = []
    while let entry = readdir(listing) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  // MARK: Doing something inside

  /// Runs `body` inside a namespace, on a thread of its own, and waits for it.
  ///
  /// Sockets that `body` opens stay in the namespace and can be returned. Whatever depends on the calling thread (task
  /// locals, thread locals) is not there.
  /// - Throws: what `body` throws, or a `NetlinkError` when the namespace cannot be entered.
  public static func run<Value: ~Copyable>(
    in namespace: borrowing NetworkNamespace, _ body: () throws -> Value
  ) throws -> Value {
    let outcome = try namespace.perform { () throws(NetlinkError) -> Result<Value, any Error> in
      do {
        return .success(try body())
      } catch {
        return .failure(error)
      }
    }
    return try outcome.get()
  }

  /// As `run(in:_:)`, for bodies that only throw what this module throws.
  func perform<Value: ~Copyable>(_ body: () throws(NetlinkError) -> Value) throws(NetlinkError) -> Value {
    let descriptor = fileDescriptor
    let outcome = NamespaceThread.run { () -> Result<Value, NetlinkError> in
      let refused = sluice_enter_network_namespace(descriptor)
      guard refused == 0 else {
        return .failure(.kernel(operation: "enter a network namespace", errno: refused, extack: nil))
      }
      do throws(NetlinkError) {
        return .success(try body())
      } catch {
        return .failure(error)
      }
    }
    switch consume outcome {
    case .failure(let code): throw .kernel(operation: "start a thread", errno: code.errno, extack: nil)
    case .success(let result): return try result.get()
    }
  }

  // MARK: Files

  private static func path(of name: String, operation: String) throws(NetlinkError) -> String {
    guard !name.isEmpty, name.utf8.count <= 255, name != ".", name != "..",
      !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
    else {
      throw .invalidArgument(
        operation: operation, reason: "a namespace's name has 1 to 255 bytes, no slash, and is not \".\" or \"..\"")
    }
    return "\(directory)/\(name)"
  }

  /// Makes the directory of names what `ip netns` wants it to be: a mount point that is shared, so that a name given in one
  /// mount namespace appears, and can be taken away, in the others.
  private static func prepareDirectory(_ operation: String) throws(NetlinkError) {
    if mkdir(directory, 0o755) != 0, errno != EEXIST {
      throw .kernel(operation: operation, errno: errno, extack: "cannot make \(directory)")
    }
    // `ip netns` takes the same lock, because two who do this at once would mount the directory twice.
    let lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if lock >= 0 { flock(lock, LOCK_EX) }
    defer { if lock >= 0 { close(lock) } }
    var refused = sluice_mount_shared(directory)
    if refused == EINVAL {
      refused = sluice_mount_bind(directory, directory)
      if refused == 0 { refused = sluice_mount_shared(directory) }
    }
    guard refused == 0 else {
      throw .kernel(operation: operation, errno: refused, extack: "cannot share the mount \(directory)")
    }
  }
}

// Terminal.swift
//
// Standard output and standard error: what goes where, and what only a terminal gets to see. Written with write(2), so that
// nothing waits in a buffer when the program ends.
// Threads: any; a line is written by one system call as long as it fits a pipe.

import Glibc

enum Terminal {
  /// Whether headings may be bold: on a terminal, unless NO_COLOR is set (https://no-color.org).
  static var takesColour: Bool { isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nil }

  /// Whether somebody watches standard error.
  static var isWatched: Bool { isatty(STDERR_FILENO) == 1 }

  /// Writes an answer to standard output.
  ///
  /// - Throws: when it cannot be written, such as to a full disk; a reader that has seen enough (`| head`) is no failure.
  static func print(_ text: String) throws(CommandFailure) {
    guard let error = write(text + "\n", to: STDOUT_FILENO), error != EPIPE else { return }
    let words = strerror(error).map { String(cString: $0) } ?? "error \(error)"
    throw CommandFailure("cannot write to standard output: \(words)")
  }

  /// Writes a line to standard output.
  ///
  /// - Returns: false when nobody reads it any more.
  static func printLine(_ line: String) -> Bool { write(line + "\n", to: STDOUT_FILENO) == nil }

  /// Writes `sluicectl: <sentence>` to standard error.
  static func complain(_ sentence: String) { _ = write("sluicectl: \(sentence)\n", to: STDERR_FILENO) }

  /// Says something to whoever watches standard error.
  static func remark(_ sentence: String) {
    if isWatched { _ = write(sentence + "\n", to: STDERR_FILENO) }
  }

  /// Overwrites the progress line, which only a terminal sees; an empty one wipes it out.
  static func progress(_ line: String) {
    if isWatched { _ = write("\r\u{1b}[K\(line)", to: STDERR_FILENO) }
  }

  /// - Returns: nil when all was written, else the error number.
  private static func write(_ text: String, to descriptor: CInt) -> CInt? {
    var text = text
    return text.withUTF8 { bytes in
      var written = 0
      while written < bytes.count {
        let rest = UnsafeBufferPointer(rebasing: bytes[written...])
        let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
        if count < 0, errno == EINTR { continue }
        if count < 0 { return errno }
        written += count
      }
      return nil
    }
  }
}

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

  /// Whether standard output is a terminal.
  static var isScreen: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Shows a text in place of what the screen shows, cut at the screen's edges, so that its first lines stay in sight.
  ///
  /// - Returns: false when nobody reads it any more.
  static func refresh(_ text: String) -> Bool {
    var size = winsize()
    let isKnown = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 1 && size.ws_col > 1
    let (rows, columns) = isKnown ? (Int(size.ws_row) - 1, Int(size.ws_col)) : (24, 80)
    // A heading in bold has some more characters than are seen.
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).prefix(rows).map { line in
      line.hasPrefix("\u{1b}[1m") ? line.prefix(columns + 4) + "\u{1b}[0m" : line.prefix(columns)
    }
    return write("\u{1b}[H\u{1b}[2J" + lines.joined(separator: "\n") + "\n", to: STDOUT_FILENO) == nil
  }

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

// RuleErrors.swift
//
// Why rules were refused, on its way from the agent to a person. A refused `Rules.Add` fails with INVALID_ARGUMENT (or, when the
// lines are right but the switch refuses one, with FAILED_PRECONDITION); its status
// message is the sentence for the first bad line, and the trailing metadata holds a RuleErrors message with more of them,
// so that a client which knows the file's name can point into it.
// Invariant: the metadata stays under 4 KiB, because HTTP/2 peers may refuse more than 8 KiB of headers.
// Threads: values only.

import GRPCCore
import SwiftProtobuf

extension Sluice_V1_RuleErrors {
  /// The trailing metadata key of `Rules.Add`; "-bin" makes gRPC carry bytes.
  public static let metadataKey = "sluice-rule-errors-bin"

  /// No more errors than this are carried; the rest are only counted.
  public static let maxListed = 8

  /// No more characters than this of a line, or of a sentence about it, are carried.
  public static let maxCharacters = 200

  /// The errors that a refused call carried.
  ///
  /// - Returns: nil when the error carries none, such as when it is not about rules.
  public init?(of error: RPCError) {
    for bytes in error.metadata[binaryValues: Self.metadataKey] {
      if let decoded = try? Sluice_V1_RuleErrors(serializedBytes: bytes) {
        self = decoded
        return
      }
    }
    return nil
  }
}

extension Sluice_V1_RuleError {
  /// What is wrong and what was expected, without the line number: `"tp_dst=x": x is not a port; expected 0 to 65535`.
  public var sentence: String {
    let quoted = text.isEmpty ? "" : "\"\(text)\": "
    let hint = expected.isEmpty ? "" : "; expected \(expected)"
    return quoted + message + hint
  }

  fileprivate var shortened: Self {
    var copy = self
    copy.text = Self.cut(text)
    copy.message = Self.cut(message)
    copy.expected = Self.cut(expected)
    return copy
  }

  private static func cut(_ text: String) -> String {
    guard text.count > Sluice_V1_RuleErrors.maxCharacters else { return text }
    return text.prefix(Sluice_V1_RuleErrors.maxCharacters - 1) + "\u{2026}"
  }
}

extension RPCError {
  /// The answer to a call such as `Rules.Add` that is refused for the text of its rules.
  ///
  /// - Parameters:
  ///   - errors: the bad lines in the order of the stream, at least one; those beyond `maxListed` are counted, not sent.
  ///   - total: all bad lines, when more were found than `errors` holds.
  ///   - code: `.failedPrecondition` for a line that is right in itself.
  public static func refusedRules(
    _ errors: [Sluice_V1_RuleError], total: Int? = nil, code: RPCError.Code = .invalidArgument
  ) -> RPCError {
    var carried = Sluice_V1_RuleErrors()
    carried.errors = errors.prefix(Sluice_V1_RuleErrors.maxListed).map(\.shortened)
    carried.total = UInt64(max(total ?? 0, errors.count))

    var message = "the rules were refused"
    if let first = carried.errors.first {
      message = "line \(first.line): \(first.sentence)"
      if carried.total > 1 { message += " (and \(carried.total - 1) more bad lines)" }
    }

    var metadata = Metadata()
    // Encoding can only fail for a message with required fields, which proto3 has not; without the list, the sentence
    // alone still says what is wrong.
    if let bytes: [UInt8] = try? carried.serializedBytes() {
      metadata.addBinary(bytes, forKey: Sluice_V1_RuleErrors.metadataKey)
    }
    return RPCError(code: code, message: message, metadata: metadata)
  }
}

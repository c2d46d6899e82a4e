// ConfigurationProblem.swift
//
// One thing that is wrong in a configuration file, and all of them together as an error.
// Invariant: each names file, place, key, what was found and what was expected, so that a person can mend the file
//            without this program's source.
// Threads: values.

/// A place in a configuration file.
struct ConfigurationPlace: Sendable, Hashable, Comparable {
  /// Both count from 1; a column counts Unicode scalars.
  var line: Int
  var column: Int

  static func < (left: Self, right: Self) -> Bool {
    (left.line, left.column) < (right.line, right.column)
  }
}

/// One thing that is wrong.
struct ConfigurationProblem: Sendable, Hashable {
  var place: ConfigurationPlace?
  /// The path of the key, such as "workers.count" or "ports[2].name"; empty for the file as a whole.
  var key: String
  var message: String
}

/// A configuration that cannot be used; prints one line per problem, in the order of the file.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
  let file: String
  let problems: [ConfigurationProblem]

  init(file: String, problems: [ConfigurationProblem]) {
    self.file = file
    let last = ConfigurationPlace(line: .max, column: .max)
    self.problems = problems.sorted { ($0.place ?? last) < ($1.place ?? last) }
  }

  public var description: String {
    problems.map { problem in
      let place = problem.place.map { ":\($0.line):\($0.column)" } ?? ""
      let key = problem.key.isEmpty ? "" : "key '\(problem.key)': "
      return "\(file)\(place): \(key)\(problem.message)"
    }.joined(separator: "\n")
  }
}

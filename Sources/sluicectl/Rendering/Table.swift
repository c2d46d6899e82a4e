// Table.swift
//
// Text for people: columns as wide as their widest cell, two spaces between them, numbers to the right.
// Invariant: no line ends in white space, and nothing but the header is coloured.
// Cost: every cell is measured once and copied once.

/// Rows of text under headings.
struct Table {
  enum Alignment { case left, right }

  private let headings: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  /// - Parameter headings: a heading that begins with '>' is of a column of numbers: ">packets".
  init(_ headings: [String]) {
    self.headings = headings.map { heading in
      heading.hasPrefix(">") ? (heading.dropFirst().uppercased(), .right) : (heading.uppercased(), .left)
    }
  }

  /// Adds a row; an empty cell is shown as "-", so that columns can be cut by programs, and a control character, which
  /// could move the cursor, as "?".
  mutating func add(_ cells: [String]) {
    rows.append(
      cells.map { cell in
        if cell.isEmpty { return "-" }
        guard cell.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return cell }
        return String(cell.map { $0.unicodeScalars.contains { $0.properties.generalCategory == .control } ? "?" : $0 })
      })
  }

  /// - Parameter bold: whether the heading is set in bold, as a terminal understands it.
  func text(bold: Bool) -> String {
    var widths = headings.map(\.title.count)
    for row in rows {
      for (column, cell) in row.enumerated() where column < widths.count {
        widths[column] = max(widths[column], cell.count)
      }
    }
    let heading = line(headings.map(\.title), widths)
    var out = bold ? "\u{1b}[1m\(heading)\u{1b}[0m" : heading
    for row in rows {
      out += "\n"
      out += line(row, widths)
    }
    return out
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var out = ""
    for (column, cell) in cells.enumerated() {
      if column > 0 { out += "  " }
      let room = String(repeating: " ", count: max(0, widths[column] - cell.count))
      switch headings[column].alignment {
      case .right: out += room + cell
      case .left: out += column == cells.count - 1 ? cell : cell + room
      }
    }
    return out
  }
}

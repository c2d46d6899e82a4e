// NearestName.swift
//
// What: guesses which name was meant when one is not known, for error messages.
// Cost: names times length squared; error paths only, and only for names of ordinary length.

/// The candidate that differs least from a name, if it differs by at most two edits.
public func nearestName(to name: String, among candidates: [String]) -> String? {
  let wanted = Array(name.utf8)
  guard (2...24).contains(wanted.count) else { return nil }
  var best: (distance: Int, name: String)?
  for candidate in candidates where abs(candidate.utf8.count - wanted.count) <= 2 {
    let distance = editDistance(wanted, Array(candidate.utf8))
    if distance <= 2, distance < best?.distance ?? 3, distance < wanted.count - 1 { best = (distance, candidate) }
  }
  return best?.name
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var rows = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
  for i in 0...a.count { rows[i][0] = i }
  for j in 0...b.count { rows[0][j] = j }
  guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
  for i in 1...a.count {
    for j in 1...b.count {
      let replace = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
      rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, replace)
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1) }
    }
  }
  return rows[a.count][b.count]
}

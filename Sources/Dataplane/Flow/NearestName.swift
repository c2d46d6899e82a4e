// NearestName.swift
//
// What: guesses which name was meant when one is not known, for error messages.
// Cost: most candidates are ruled out by the letters they are made of; error paths only, but a file can hold many errors.

/// The candidate that differs least from a name, if it differs by at most two edits.
public func nearestName(to name: String, among candidates: [String]) -> String? {
  let wanted = Array(name.utf8)
  guard (2...24).contains(wanted.count) else { return nil }
  let wantedLetters = letters(name)
  var best: (distance: Int, name: String)?
  for candidate in candidates where abs(candidate.utf8.count - wanted.count) <= 2 {
    // An edit changes the set of letters by two at the most: one goes, one comes.
    guard (letters(candidate) ^ wantedLetters).nonzeroBitCount <= 4 else { continue }
    let distance = editDistance(wanted, Array(candidate.utf8))
    if distance <= 2, distance < best?.distance ?? 3, distance < wanted.count - 1 { best = (distance, candidate) }
  }
  return best?.name
}

/// The set of bytes of a text, folded to 64 bits.
private func letters(_ text: String) -> UInt64 {
  var set: UInt64 = 0
  for byte in text.utf8 { set |= 1 << UInt64(byte & 63) }
  return set
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var beforeLast = [Int](repeating: 0, count: b.count + 1)
  var last = Array(0...b.count)
  for (i, byte) in a.enumerated() {
    var row = [i + 1] + [Int](repeating: 0, count: b.count)
    for (j, other) in b.enumerated() {
      row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (byte == other ? 0 : 1))
      if i > 0, j > 0, byte == b[j - 1], a[i - 1] == other { row[j + 1] = min(row[j + 1], beforeLast[j - 1] + 1) }
    }
    (beforeLast, last) = (last, row)
  }
  return last[b.count]
}

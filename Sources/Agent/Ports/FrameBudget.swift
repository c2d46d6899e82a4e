// FrameBudget.swift
//
// How many frames of a worker's memory each of its queues may have lent to the kernel for receiving. Few queues get deep
// rings, many queues get shallow ones, and together they never take so much that forwarding has no frame left.
// Invariant: the sum of the shares, with what is reserved, is at most 7/8 of the frames, as long as there are frames for the
//            smallest share of each. What is reserved is at most a quarter, so that fair shares always fit.
// Threads: a value.

/// The shares of one worker's frames.
struct FrameBudget {
  let frames: Int
  /// Frames that the way up has, whatever the queues of ports do: they share what is left.
  var reserved = 0
  /// The shares in force.
  private(set) var shares: [Int] = []

  static let largestShare = 2048
  static let smallestShare = 32

  init(frames: Int) { self.frames = frames }

  private var limit: Int { frames - frames / 8 - reserved }

  /// Whether the queues have more than they may by now, because something was reserved after they took it.
  var isOverdrawn: Bool { shares.reduce(0, +) > limit }

  /// The share that each of `queues` queues can have: a power of two.
  func fairShare(queues: Int) -> Int {
    var share = Self.largestShare
    while share > Self.smallestShare, share * max(queues, 1) > (frames - reserved) * 3 / 4 { share /= 2 }
    return share
  }

  /// The share for one queue more; nil when the others have to give some of theirs back first.
  func shareForOneMore() -> Int? {
    let share = fairShare(queues: shares.count + 1)
    return shares.reduce(0, +) + share <= limit || share == Self.smallestShare ? share : nil
  }

  mutating func take(_ share: Int) { shares.append(share) }

  mutating func giveBack(_ share: Int) {
    if let place = shares.firstIndex(of: share) { shares.remove(at: place) }
  }
}

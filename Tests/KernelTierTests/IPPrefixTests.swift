import Testing

@testable import KernelTier

@Suite struct IPPrefixTests {
  @Test(arguments: [
    ("10.0.0.0/8", "10.0.0.0/8"),
    ("0.0.0.0/0", "0.0.0.0/0"),
    ("192.0.2.1", "192.0.2.1/32"),
    ("192.0.2.1/32", "192.0.2.1/32"),
    ("128.0.0.0/1", "128.0.0.0/1"),
    ("::/0", "::/0"),
    ("2001:db8::/32", "2001:db8::/32"),
    ("2001:DB8:0:0:0:0:0:1", "2001:db8::1/128"),
    ("2001:db8:0:0:8000::/65", "2001:db8:0:0:8000::/65"),
    ("fe80::/64", "fe80::/64"),
    ("::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120"),
  ])
  func aPrefixPrintsInItsCanonicalForm(text: String, canonical: String) throws {
    let prefix = try IPPrefix(text)
    #expect(prefix.description == canonical)
    #expect(try IPPrefix(prefix.description) == prefix)
  }

  @Test(arguments: [
    ("10.0.0.1/8", "10.0.0.0/8"), ("0.0.0.1/0", "0.0.0.0/0"), ("2001:db8::1/32", "2001:db8::/32"), ("::1/0", "::/0"),
    ("2001:db8:0:0:8000::/64", "2001:db8::/64"), ("ff00::1/127", "ff00::/127"),
  ])
  func bitsBehindTheLengthAreRefusedWithTheRightPrefix(text: String, canonical: String) {
    #expect(throws: IPPrefixError.hostBits(value: text, canonical: canonical)) { try IPPrefix(text) }
  }

  @Test(arguments: [
    "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.0/ 8", "10.0.0.0/8/8",
    "10.0.0.0/0x8", "2001:db8::/32,10.0.0.0/8", "10.0.0.0/99999999999999999999", "::/129", "::/1٣", "10.0.0.0/8\u{0}",
  ])
  func anImpossibleLengthIsRefused(text: String) {
    #expect { try IPPrefix(text) } throws: { error in
      if case .badLength? = error as? IPPrefixError { true } else { false }
    }
  }

  @Test(arguments: [
    "", "/", "/8", " 10.0.0.0/8", "10.0.0/8", "10/8", "256.0.0.0/8", "010.0.0.0/8", "0x0a.0.0.0", "10.0.0.0.0", "10.0.0.0\u{0}x",
    "default", "any", "fe80::1%eth0", "[::1]", ":::", "1::2::3", "12345::", "１０.0.0.0/8", "-1",
    "\u{1b}[31mred", String(repeating: "1", count: 100_000),
  ])
  func whatIsNoAddressIsRefused(text: String) {
    #expect(throws: IPPrefixError.notAPrefix(value: text)) { try IPPrefix(text) }
  }

  @Test func anErrorShowsAHostileValueOnOneShortLine() {
    let description = IPPrefixError.notAPrefix(value: "\u{1b}[2J\n" + String(repeating: "x", count: 10_000)).description
    #expect(description.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value < 0x7f })
    #expect(description.count < 400)
  }

  @Test func errorsSayWhatWasExpected() {
    #expect(
      IPPrefixError.hostBits(value: "10.0.0.1/8", canonical: "10.0.0.0/8").description
        == "\"10.0.0.1/8\" has bits set behind its length: expected 10.0.0.0/8")
    #expect(
      IPPrefixError.badLength(value: "10.0.0.0/33", family: .v4).description
        == "\"10.0.0.0/33\" has no valid prefix length: expected 0 to 32 for IPv4")
  }

  @Test func prefixesSortByFamilyAddressAndWidth() throws {
    let sorted = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "::/0", "::1/128", "2001:db8::/32"]
    #expect(try sorted.shuffled().map { try IPPrefix($0) }.sorted().map(\.description) == sorted)
  }

  @Test func aPrefixContainsTheAddressesOfItsRangeOnly() throws {
    let prefix = try IPPrefix("10.1.0.0/16")
    #expect(prefix.contains(IPAddress("10.1.255.255")!))
    #expect(!prefix.contains(IPAddress("10.2.0.0")!))
    #expect(!prefix.contains(IPAddress("::10.1.0.0")!))
  }

  @Test func everyMaskLengthKeepsExactlyItsBits() {
    for length in 0...32 {
      guard case .v4(let value) = IPAddress.v4(.max).masked(to: length) else { return }
      #expect(value.nonzeroBitCount == length && value.leadingZeroBitCount == (length == 0 ? 32 : 0))
    }
    for length in 0...128 {
      guard case .v6(let high, let low) = IPAddress.v6(high: .max, low: .max).masked(to: length) else { return }
      #expect(high.nonzeroBitCount == min(64, length) && low.nonzeroBitCount == max(0, length - 64))
    }
  }

  @Test func bytesRoundTrip() {
    for text in ["0.0.0.0", "1.2.3.4", "255.255.255.255", "::", "::1", "2001:db8::ff00:42:8329"] {
      let address = IPAddress(text)!
      #expect(IPAddress(bytes: address.bytes) == address)
      #expect(address.description == text)
    }
    #expect(IPAddress(bytes: [1, 2, 3]) == nil)
  }
}

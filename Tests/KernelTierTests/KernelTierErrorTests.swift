import CSluice
import Glibc
import Testing

@testable import KernelTier

@Suite struct KernelTierErrorTests {
  @Test func aRefusedProgramNamesTheVerifiersLastWord() {
    let log = "0: (79) r0 = *(u64 *)(r1 +400)\ninvalid bpf_context access off=400 size=8\nprocessed 1 insns (limit 1000000)\n"
    #expect(
      KernelTierError.load(program: "sluice_xdp", code: EACCES, log: log).description
        == "the kernel refused the BPF program sluice_xdp: Permission denied (invalid bpf_context access off=400 size=8)")
  }

  @Test func aMissingRightSaysWhichRight() {
    #expect(
      KernelTierError.system(operation: "create the BPF map sluice_hints", code: EPERM, detail: "").description
        == "cannot create the BPF map sluice_hints: Operation not permitted; it takes root, or the capabilities CAP_BPF and "
        + "CAP_NET_ADMIN")
  }

  @Test(.enabled(if: BPFSupport.isThere, BPFSupport.comment))
  func aBrokenObjectIsRefusedWithWords() {
    for bytes: [UInt8] in [[], [1, 2, 3], Array(EmbeddedBPF.uplinkObject.prefix(1000))] {
      #expect(throws: KernelTierError.self) { _ = try BPFObject(bytes: bytes, name: "broken") }
    }
  }

  /// A map of the policy is left out although the program's constants say that it uses them, so the verifier must refuse it.
  @Test(.enabled(if: BPFSupport.isThere, BPFSupport.comment))
  func theVerifiersLogIsKept() throws {
    let object = try BPFObject(bytes: EmbeddedBPF.uplinkObject, name: "sluice_xdp")
    var configuration = sluice_port_config()
    configuration.deny = 1
    try object.setConstants(section: ".rodata.config", to: configuration)
    try object.omit("sluice_denials")
    #expect {
      try object.load()
    } throws: { error in
      guard case .load(_, _, let log)? = error as? KernelTierError else { return false }
      return log.contains("BEGIN PROG LOAD LOG") && log.contains("sluice_denials")
    }
  }
}

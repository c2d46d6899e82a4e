import Dataplane
import Pipeline
enum RuleFile {
  static func load(path: String) throws -> [Rule] {
    var k = FlowKey(), m = FlowMask()
    k[.ethType] = 0x800; m.include(.ethType)
    k[.ipv4Dst] = 0x0a000000; m[.ipv4Dst] = 0xff000000
    return [Rule(priority: 100, match: FlowMatch(k, m), actions: [.output(2)])]
  }
}

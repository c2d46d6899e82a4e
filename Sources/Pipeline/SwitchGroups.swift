// SwitchGroups.swift
//
// What: listing groups and meters, and explaining packets. Changing them is a part of changing rules (SwitchRules.swift).
// Threads: the pipeline thread.
// Cost: listing looks once at every rule, for the number of references.

import CSluice
import Dataplane

/// A group and its counters at one moment.
public struct GroupSnapshot: Sendable {
  public var group: Group
  public var packets: UInt64
  public var bytes: UInt64
  /// By the bucket's position.
  public var buckets: [GroupCount]
  public var ageSeconds: Double
  /// Rules and groups that send to it.
  public var referenceCount: Int
}

/// A meter and its counters at one moment.
public struct MeterSnapshot: Sendable {
  public var meter: MeterSpec
  /// What it has measured.
  public var packets: UInt64
  public var bytes: UInt64
  /// What each band has dropped or remarked, in the meter's order.
  public var bands: [GroupCount]
  public var ageSeconds: Double
  /// Rules that use it.
  public var referenceCount: Int
}

extension SwitchCore {
  /// What the translator needs to know.
  public var context: TranslationContext {
    TranslationContext(
      ports: ports, rules: rules, macs: macs, groups: groups, meters: meters, recirculation: recirculation)
  }

  /// What happens to a packet now, in words. Changes nothing.
  ///
  /// - Parameter frame: the packet's bytes, when they are known.
  public func explain(_ key: FlowKey, frame: [UInt8]? = nil, printsNames: Bool = true) -> PacketTrace {
    PacketTrace(key: key, frame: frame, context: context, printsNames: printsNames)
  }

  /// One group, or all, with counters up to this moment; in the order of their numbers.
  public func groupList(_ id: UInt32? = nil) -> [GroupSnapshot] {
    creditAll()
    let now = sluice_monotonic_nanoseconds()
    let entries = groups.all
    return entries.filter { id == nil || $0.group.id == id }.map { entry in
      let references =
        entries.reduce(0) { $0 + ($1.group.references.contains(entry.group.id) ? 1 : 0) }
        + rules.count(where: { $0.uses(group: entry.group.id) })
      return GroupSnapshot(
        group: entry.group, packets: entry.count.packets, bytes: entry.count.bytes,
        buckets: entry.group.buckets.indices.map { entry.count(ofBucket: $0) },
        ageSeconds: Double(now - min(now, entry.createdNanoseconds)) / 1e9, referenceCount: references)
    }
  }

  /// One meter, or all, with counters up to this moment; in the order of their numbers.
  public func meterList(_ id: UInt32? = nil) -> [MeterSnapshot] {
    let now = sluice_monotonic_nanoseconds()
    return meters.all.filter { id == nil || $0.spec.id == id }.map { entry in
      let counts = entry.meter.counts
      return MeterSnapshot(
        meter: entry.spec, packets: counts.total.packets, bytes: counts.total.bytes,
        bands: counts.bands.map { GroupCount(packets: $0.packets, bytes: $0.bytes) },
        ageSeconds: Double(now - min(now, entry.createdNanoseconds)) / 1e9,
        referenceCount: rules.count(where: { $0.meter == entry.spec.id }))
    }
  }
}

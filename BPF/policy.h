/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * policy.h: the early drop policy, the first thing that runs on a packet.
 *
 * What:       sluice_policy_v4 and _v6 say whether a packet is dropped and why: its source has a denied prefix, it is a denied
 *             five-tuple, or its source has used up its rate.
 * Order:      denied prefixes, five-tuples, limits; so only packets that would pass take a token. The longest prefix decides and counts,
 *             of denials and of limits each.
 * Idea:       entries of all kinds are in one hash table (policy_abi.h). Which lengths of prefixes are worth a look-up is in a table of
 *             bits (`struct sluice_hints`) that two loads find, so the length of the list costs a cache miss or two, but no walk.
 *             sluice_is_denied_host is a short way for the packets that a flood is made of: the source is a denied IPv4 host, and the frame has no
 *             tags. It answers only that; all else is for the whole search.
 * Invariants: addresses count as soon as they are inside the frame, whatever lies behind them. Ports and protocol of a five-tuple are
 *             found behind IPv4 options and up to SLUICE_EXTENSIONS IPv6 extension headers; a packet with more is dropped while there
 *             are IPv6 five-tuples, since nobody could say whether it is one of them. Later fragments have no ports: they meet only
 *             five-tuples that name none.
 * Threads:    all CPUs at once; each counts in a shard of its own, a token bucket is one word that is exchanged.
 * Cost:       nothing in use: one load and one branch. See README.md for the rest.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#include "events.h"
#include "frame.h"
#include "shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_POLICY_SLOTS);
	__type(key, __u32);
	__type(value, struct sluice_policy_slot);
} sluice_denials SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_LIMITS);
	__type(key, __u32);
	__type(value, struct sluice_limit);
} sluice_limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_POLICY_SLOTS);	/* times shards */
	__type(key, __u32);
	__type(value, struct sluice_policy_drops);
} sluice_drops SEC(".maps");

/* Global data likewise. */
struct sluice_hints sluice_hints[SLUICE_HINTS] SEC(".bss.hints");

/* The number of the lowest bit that is set, by a de Bruijn sequence: BPF has no instruction for it. */
static const __u8 sluice_bit_numbers[64] = {
	0,  1,	48, 2,	57, 49, 28, 3,	61, 58, 50, 42, 38, 29, 17, 4,	62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
	63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,	13, 8,	7,  6,
};

static __always_inline __u32 sluice_lowest_bit(__u64 bits)
{
	return sluice_bit_numbers[((bits & -bits) * 0x03f79d71b4cb0a89ull) >> 58];
}

/*
 * The number of the slot that holds a key, plus 1; 0: there is none.
 *
 * A global function, so that the verifier looks at it once and not once for every length of every kind.
 */
__noinline __u32 sluice_find_entry(__u64 word0, __u64 word1, __u64 word2, __u64 word3, __u64 word4)
{
	__u32 place = sluice_policy_place(word0, word1, word2, word3, word4);

	for (int i = 0; i < SLUICE_POLICY_REACH; i++, place = sluice_policy_next(place)) {
		__u32 index = place & (SLUICE_POLICY_SLOTS - 1);
		struct sluice_policy_slot *slot = bpf_map_lookup_elem(&sluice_denials, &index);

		if (!slot)
			return 0;
		if (slot->key[0] == word0 && slot->key[1] == word1 && slot->key[2] == word2 && slot->key[3] == word3 &&
		    slot->key[4] == word4)
			return index + 1;
		if (!slot->beyond)
			return 0;
	}
	return 0;
}

/* The entry of a number that sluice_find_entry gave. */
static __always_inline struct sluice_policy_slot *sluice_entry(__u32 number)
{
	__u32 index = number - 1;

	return bpf_map_lookup_elem(&sluice_denials, &index);
}

/* Which hints to read for a kind. */
enum { HINTS_WIDE = 1, HINTS_NARROW = 2 };

static __always_inline const struct sluice_hints *sluice_find_hints(__u32 kind)
{
	bool denies = kind == SLUICE_KIND_DENY_V4 || kind == SLUICE_KIND_DENY_V6;

	return &sluice_hints[denies ? SLUICE_HINTS_DENY : SLUICE_HINTS_LIMIT];
}

/* The number of the longest prefix of a kind that holds an IPv4 address, or 0. A global function for the same reason. */
__noinline __u32 sluice_longest_v4(__u32 kind, __u32 which, __u32 address)
{
	const struct sluice_hints *hints = sluice_find_hints(kind);
	__u64 lengths = 0;

	if (which & HINTS_NARROW)
		lengths = hints->v4_narrow[sluice_hint_v4(address)];
	if (which & HINTS_WIDE)
		lengths |= (__u64)hints->v4_wide[address >> 16] << (32 - SLUICE_HINT_V4_SPLIT + 1);
	for (int i = 0; i < 33 && lengths; i++) {
		__u32 behind = sluice_lowest_bit(lengths);
		__u32 number = sluice_find_entry(
			sluice_policy_word(kind, 32 - behind, 0, 0, 0), address & (__u32)(0xffffffffull << behind), 0, 0, 0);

		if (number)
			return number;
		lengths &= lengths - 1;
	}
	return 0;
}

/* The same for an IPv6 address. Three groups of lengths: 128 to 65, 64 to 1, and 0. */
__noinline __u32 sluice_longest_v6(__u32 kind, __u32 which, __u64 high, __u64 low)
{
	const struct sluice_hints *hints = sluice_find_hints(kind);
	__u64 long_ones = 0, short_ones = 0;
	__u32 widest = 0, number;

	if (which & HINTS_NARROW) {
		const __u64 *pair = hints->v6_narrow[sluice_hint_v6(high >> 32)];

		long_ones = pair[0];
		short_ones = pair[1];
	}
	if (which & HINTS_WIDE) {
		widest = hints->v6_wide[high >> 48];
		short_ones |= (__u64)widest << (64 - SLUICE_HINT_V6_SPLIT + 1);
	}
	for (int i = 0; i < 64 && long_ones; i++) {
		__u32 behind = sluice_lowest_bit(long_ones);

		number = sluice_find_entry(
			sluice_policy_word(kind, 128 - behind, 0, 0, 0), high, low & (~0ull << behind), 0, 0);
		if (number)
			return number;
		long_ones &= long_ones - 1;
	}
	for (int i = 0; i < 64 && short_ones; i++) {
		__u32 behind = sluice_lowest_bit(short_ones);

		number = sluice_find_entry(
			sluice_policy_word(kind, 64 - behind, 0, 0, 0), high & (~0ull << behind), 0, 0, 0);
		if (number)
			return number;
		short_ones &= short_ones - 1;
	}
	return widest >> 31 ? sluice_find_entry(sluice_policy_word(kind, 0, 0, 0, 0), 0, 0, 0, 0) : 0;
}

/* Counts a packet in one shard of an entry's counters. */
static __always_inline void sluice_add_drop(struct sluice_policy_drops *drops, __u32 slot, __u64 bytes)
{
	struct sluice_policy_slot *entry;
	__u32 packets;

	if (sluice_policy.is_atomic) {
		packets = __sync_fetch_and_add(&drops->packets, 1) + 1;
		__sync_fetch_and_add(&drops->bytes, bytes);
	} else {
		packets = ++drops->packets;
		drops->bytes += bytes;
	}
	if (packets)
		return;
	entry = bpf_map_lookup_elem(&sluice_denials, &slot);
	if (entry)
		__sync_fetch_and_add(&entry->wrapped, 1ull << 32);
}

/* The first of this CPU's counters. */
static __always_inline __u32 sluice_drops_shard(void)
{
	return (bpf_get_smp_processor_id() & sluice_policy.shard_mask) * SLUICE_POLICY_SLOTS;
}

/* Counts a packet that the entry in this slot drops. */
static __always_inline void sluice_count_drop(__u32 slot, __u64 bytes)
{
	__u32 index = sluice_drops_shard() + slot;
	struct sluice_policy_drops *drops = bpf_map_lookup_elem(&sluice_drops, &index);

	if (drops)
		sluice_add_drop(drops, slot, bytes);
}

/* Places that the short way looks at: hardly a host lies further away. */
#define SHORT_REACH 4

/*
 * Whether an IPv4 address is denied by itself (/32), which no longer prefix could be; then the packet is counted. False says nothing: the host
 * may be denied nevertheless.
 */
static __always_inline bool sluice_is_denied_host(__u32 address, __u64 bytes)
{
	__u32 slot, shard;

	if (!(sluice_hints[SLUICE_HINTS_DENY].v4_narrow[sluice_hint_v4(address)] & 1))
		return false;
	slot = sluice_policy_place(sluice_policy_word(SLUICE_KIND_DENY_V4, 32, 0, 0, 0), address, 0, 0, 0);
	shard = sluice_drops_shard();
#pragma unroll
	for (int i = 0; i < SHORT_REACH; i++, slot = sluice_policy_next(slot)) {
		__u32 index = shard + slot;
		struct sluice_policy_drops *drops = bpf_map_lookup_elem(&sluice_drops, &index);

		if (!drops || !drops->host)
			return false;
		if (drops->host == address) {
			sluice_add_drop(drops, slot, bytes);
			return true;
		}
	}
	return false;
}

/* Takes a token of the limit of this number, or says that there is none. */
static __always_inline bool sluice_exceeds(const struct sluice_policy *policy, __u32 number, __u64 bytes)
{
	__u64 now = (policy->test_time ? policy->test_time : bpf_ktime_get_ns()) * SLUICE_LIMIT_TICKS;
	struct sluice_policy_slot *slot = sluice_entry(number);
	struct sluice_limit *limit;
	__u32 index;

	if (!slot)
		return false;
	index = slot->limit;
	limit = bpf_map_lookup_elem(&sluice_limits, &index);
	if (!limit)
		return false;
	for (int i = 0; i < SLUICE_LIMIT_ATTEMPTS; i++) {
		__u64 due = *(volatile __u64 *)&limit->due;
		__u64 begin = due > now ? due : now;

		if (begin - now > limit->tolerance)
			break;
		if (__sync_val_compare_and_swap(&limit->due, due, begin + limit->interval) == due) {
			__sync_fetch_and_add(&limit->packets, 1);
			__sync_fetch_and_add(&limit->bytes, bytes);
			return false;
		}
	}
	sluice_count_drop(number - 1, bytes);
	return true;
}

/* What five-tuples look at behind the addresses. */
struct sluice_transport {
	__u32 source_port;
	__u32 destination_port;
	__u8 protocol;
	bool has_ports;
	bool unreadable;	/* more extension headers than are read */
};

static __always_inline bool sluice_protocol_has_ports(__u8 protocol)
{
	/* TCP, UDP, DCCP, SCTP, UDP-Lite */
	return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136;
}

static __always_inline void sluice_read_ports(struct sluice_transport *transport, void *header, void *end)
{
	__be16 *ports = header;

	if (!sluice_protocol_has_ports(transport->protocol) || (void *)(ports + 2) > end)
		return;
	transport->source_port = bpf_ntohs(ports[0]);
	transport->destination_port = bpf_ntohs(ports[1]);
	transport->has_ports = true;
}

/* The fixed header is inside the frame; options may not be. */
static __always_inline struct sluice_transport sluice_transport_v4(struct ipv4 *ip, void *end)
{
	struct sluice_transport transport = { .protocol = ip->protocol };
	__u32 header_length = (ip->version_and_length & 0xf) * 4;

	/* A header that says to be shorter than it can be is malformed, and the worker and the host drop it. */
	if (header_length >= sizeof(*ip) && !(ip->fragment & bpf_htons(0x1fff)))
		sluice_read_ports(&transport, (void *)ip + header_length, end);
	return transport;
}

/* The part that all extension headers of IPv6 begin with. */
struct sluice_extension {
	__u8 next_header;
	__u8 length;
	__be16 offset;	/* of a fragment */
};

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION 60
#define EXTENSION_MOBILITY 135
#define EXTENSION_HOST_IDENTITY 139
#define EXTENSION_SHIM6 140

/* A bit for each of them: one branch, where comparisons would give the verifier a path for each. */
static const __u64 sluice_passed_over_bits[4] = {
	1ull << EXTENSION_HOP_BY_HOP | 1ull << EXTENSION_ROUTING | 1ull << EXTENSION_FRAGMENT | 1ull << EXTENSION_AUTHENTICATION |
		1ull << EXTENSION_DESTINATION,
	0,
	1ull << (EXTENSION_MOBILITY - 128) | 1ull << (EXTENSION_HOST_IDENTITY - 128) | 1ull << (EXTENSION_SHIM6 - 128),
	0,
};

static __always_inline bool sluice_is_passed_over(__u8 header)
{
	return sluice_passed_over_bits[header >> 6] >> (header & 63) & 1;
}

/*
 * Finds the transport of an IPv6 packet whose fixed header begins at `begin` in the frame and is inside it. A global function: the walk
 * has more paths than the verifier should multiply with what comes after.
 */
__noinline int sluice_transport_v6(struct xdp_md *ctx, __u32 begin, struct sluice_transport *transport)
{
	void *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 offset = begin + sizeof(struct ipv6);
	struct ipv6 *ip = start + (begin & 0xff);

	if (!transport || (void *)(ip + 1) > end)
		return 0;
	transport->protocol = ip->next_header;
	for (int i = 0; i < SLUICE_EXTENSIONS && sluice_is_passed_over(transport->protocol); i++) {
		/* Eight headers of 2,048 bytes; the mask only tells the verifier. */
		struct sluice_extension *extension = start + (offset & 0x7fff);
		__u8 kind = transport->protocol;

		/* Cut off: no receiver finds more in it either. */
		if ((void *)(extension + 1) > end)
			return 0;
		transport->protocol = extension->next_header;
		if (kind == EXTENSION_FRAGMENT) {
			/* What a later fragment carries is the rest of its packet, whatever its first bytes look like. */
			if (extension->offset & bpf_htons(0xfff8))
				return 0;
			offset += 8;
		} else if (kind == EXTENSION_AUTHENTICATION) {
			offset += ((__u32)extension->length + 2) * 4;
		} else {
			offset += ((__u32)extension->length + 1) * 8;
		}
	}
	if (sluice_is_passed_over(transport->protocol))
		transport->unreadable = true;
	else
		sluice_read_ports(transport, start + (offset & 0x7fff), end);
	return 0;
}

/* Addresses as the table's keys have them. */
struct sluice_addresses {
	__u64 source[2];
	__u64 destination[2];
};

/* Looks for a five-tuple of each shape that is in use; the number of the first that is there, or 0. */
__noinline __u32 sluice_find_tuple(
	__u32 kind, __u32 shapes, const struct sluice_addresses *at, const struct sluice_transport *transport)
{
	if (!at || !transport)
		return 0;
	for (int i = 0; i < SLUICE_TUPLE_SHAPES && shapes; i++) {
		__u32 shape = sluice_lowest_bit(shapes);
		bool by_source = shape & SLUICE_TUPLE_SOURCE, by_destination = shape & SLUICE_TUPLE_DESTINATION;
		__u64 word;
		__u32 number;

		shapes &= shapes - 1;
		if (!transport->has_ports && shape & (SLUICE_TUPLE_SOURCE_PORT | SLUICE_TUPLE_DESTINATION_PORT))
			continue;
		word = sluice_policy_word(
			kind, shape, shape & SLUICE_TUPLE_PROTOCOL ? transport->protocol : 0,
			shape & SLUICE_TUPLE_SOURCE_PORT ? transport->source_port : 0,
			shape & SLUICE_TUPLE_DESTINATION_PORT ? transport->destination_port : 0);
		number = sluice_find_entry(
			word, by_source ? at->source[0] : 0, by_source ? at->source[1] : 0,
			by_destination ? at->destination[0] : 0, by_destination ? at->destination[1] : 0);
		if (number)
			return number;
	}
	return 0;
}

static __always_inline __u64 sluice_load_be64(const __u8 *bytes)
{
	__u64 value;

	__builtin_memcpy(&value, bytes, sizeof(value));
	return bpf_be64_to_cpu(value);
}

static __always_inline __u32 sluice_load_be32(const __u8 *bytes)
{
	__u32 value;

	__builtin_memcpy(&value, bytes, sizeof(value));
	return bpf_ntohl(value);
}

/* The two bits of a kind in sluice_policy.use, moved down, are its HINTS_WIDE and HINTS_NARROW. */
#define SHIFT_DENY_V4 0
#define SHIFT_DENY_V6 2
#define SHIFT_LIMIT_V4 4
#define SHIFT_LIMIT_V6 6
#define USE_DENY_V4 (SLUICE_USE_DENY_V4_WIDE | SLUICE_USE_DENY_V4_NARROW)
#define USE_DENY_V6 (SLUICE_USE_DENY_V6_WIDE | SLUICE_USE_DENY_V6_NARROW)
#define USE_LIMIT_V4 (SLUICE_USE_LIMIT_V4_WIDE | SLUICE_USE_LIMIT_V4_NARROW)
#define USE_LIMIT_V6 (SLUICE_USE_LIMIT_V6_WIDE | SLUICE_USE_LIMIT_V6_NARROW)

/*
 * Why an IPv4 packet is dropped (enum sluice_drop_reason), or 0.
 *
 * The fixed header must be inside the frame. `bytes` is the length of the whole frame, for the counters.
 */
static __always_inline __u32 sluice_policy_v4(const struct sluice_policy *policy, struct ipv4 *ip, void *end, __u64 bytes)
{
	__u32 use = policy->use, address, number;

	if (!(use & (USE_DENY_V4 | USE_LIMIT_V4 | SLUICE_USE_TUPLE_V4)))
		return 0;
	address = sluice_load_be32(ip->source);
	if (use & USE_DENY_V4) {
		number = sluice_longest_v4(SLUICE_KIND_DENY_V4, (use & USE_DENY_V4) >> SHIFT_DENY_V4, address);
		if (number) {
			sluice_count_drop(number - 1, bytes);
			return SLUICE_DROP_DENY_PREFIX;
		}
	}
	if (use & SLUICE_USE_TUPLE_V4) {
		struct sluice_addresses at = { .source = { address }, .destination = { sluice_load_be32(ip->destination) } };
		struct sluice_transport transport = sluice_transport_v4(ip, end);

		number = sluice_find_tuple(SLUICE_KIND_TUPLE_V4, policy->shapes_v4, &at, &transport);
		if (number) {
			sluice_count_drop(number - 1, bytes);
			return SLUICE_DROP_DENY_TUPLE;
		}
	}
	if (use & USE_LIMIT_V4) {
		number = sluice_longest_v4(SLUICE_KIND_LIMIT_V4, (use & USE_LIMIT_V4) >> SHIFT_LIMIT_V4, address);
		if (number && sluice_exceeds(policy, number, bytes))
			return SLUICE_DROP_LIMIT;
	}
	return 0;
}

/* The same for IPv6. `begin` is where the fixed header begins in the frame. */
static __always_inline __u32 sluice_policy_v6(
	struct xdp_md *ctx, const struct sluice_policy *policy, struct ipv6 *ip, __u32 begin, __u64 bytes)
{
	__u32 use = policy->use, number;
	__u64 high, low;

	if (!(use & (USE_DENY_V6 | USE_LIMIT_V6 | SLUICE_USE_TUPLE_V6)))
		return 0;
	high = sluice_load_be64(ip->source);
	low = sluice_load_be64(ip->source + 8);
	if (use & USE_DENY_V6) {
		number = sluice_longest_v6(SLUICE_KIND_DENY_V6, (use & USE_DENY_V6) >> SHIFT_DENY_V6, high,
			low);
		if (number) {
			sluice_count_drop(number - 1, bytes);
			return SLUICE_DROP_DENY_PREFIX;
		}
	}
	if (use & SLUICE_USE_TUPLE_V6) {
		struct sluice_addresses at = {
			.source = { high, low },
			.destination = { sluice_load_be64(ip->destination), sluice_load_be64(ip->destination + 8) },
		};
		struct sluice_transport transport = {};

		sluice_transport_v6(ctx, begin, &transport);
		if (transport.unreadable)
			return SLUICE_DROP_EXTENSIONS;
		number = sluice_find_tuple(SLUICE_KIND_TUPLE_V6, policy->shapes_v6, &at, &transport);
		if (number) {
			sluice_count_drop(number - 1, bytes);
			return SLUICE_DROP_DENY_TUPLE;
		}
	}
	if (use & USE_LIMIT_V6) {
		number = sluice_longest_v6(SLUICE_KIND_LIMIT_V6, (use & USE_LIMIT_V6) >> SHIFT_LIMIT_V6, high,
			low);
		if (number && sluice_exceeds(policy, number, bytes))
			return SLUICE_DROP_LIMIT;
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * flow.h: from a packet to the flow that answers it.
 *
 * What:       reads a packet into a key, finds the flow in the table that the agent fills, says whether the flow's answer can be carried out,
 *             and counts.
 * Invariants: the key is bit for bit what Sources/Dataplane/Frame/FrameParser.swift makes of the frame; a packet that is read otherwise
 *             there, or not at all, is not read here: ARP, MPLS, PBB, IPv6 extension headers, neighbour discovery, a third tag, whatever is
 *             malformed. Such a packet has no flow here and goes up. Nothing is changed before it is known that all of it can be done.
 * Threads:    on every CPU at once. The agent writes slots, masks and buckets so that half a flow is never seen (shared.h); here a flow's
 *             state and last_up are written, where a lost race costs one more packet the way up.
 * Cost:       an untagged IPv4 TCP or UDP packet takes a path without branches on its content but one; all else is a call. Per mask that is
 *             tried: five words to hash, the tags of two buckets; a hit reads the line of its flow and writes the next.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "events.h"
#include "frame.h"
#include "maps.h"

#define ETHERTYPE_RARP 0x8035
#define ETHERTYPE_MPLS 0x8847
#define ETHERTYPE_MPLS_UPSTREAM 0x8848
#define ETHERTYPE_PBB 0x88e7

#define IP_PROTOCOL_ICMP 1
#define IP_PROTOCOL_TCP 6
#define IP_PROTOCOL_UDP 17
#define IP_PROTOCOL_SCTP 132
#define ICMPV6_NEIGHBOUR_ADVERTISEMENT 136

/* The bit of a tag's control word in a key that says "there is a tag", and the bits of the frame's that stay, in network order. */
#define TAG_PRESENT 0x0010
#define TAG_BITS 0xffef

/* Bits of a key's fragment byte. */
#define FRAGMENT_ANY 1
#define FRAGMENT_LATER 2

/* As many bytes as all headers that are read can take: Ethernet, two tags, IPv4 with options, TCP. */
#define SLUICE_HEADER_BYTES 102

/* A packet that was read: of the lines those words that packets here can have (hash.h). */
struct sluice_packet {
	__u64 line0[SLUICE_WORDS];
	__u64 line1[SLUICE_WORDS];	/* the fifth is the flow label */
	__u32 has_line1;
	/* Control word of a tag beside the packet, as it is in a key; 0: none. */
	__u32 outer;
};

/* Bytes as they lie in the frame, at any alignment. */
#define LOAD(type, pointer, offset) (*(const type *)((const void *)(pointer) + (offset)))
#define LOAD8(pointer, offset) LOAD(__u8, pointer, offset)
#define LOAD16(pointer, offset) LOAD(__u16, pointer, offset)
#define LOAD32(pointer, offset) LOAD(__u32, pointer, offset)
#define LOAD64(pointer, offset) LOAD(__u64, pointer, offset)

/* Ports, or type and code, of the L4 header in `available` bytes at `l4`, and TCP's flags; false when it is not the kernel's to read. */
static __always_inline bool sluice_parse_l4(const void *l4, const void *end, __u32 available, __u8 protocol, bool v6, __u64 *word3)
{
	switch (protocol) {
	case IP_PROTOCOL_TCP:
		if (available < 20 || l4 + 20 > end)
			return false;
		*word3 |= LOAD32(l4, 0) | (__u64)(LOAD16(l4, 12) & 0xff0f) << 32;
		return true;
	case IP_PROTOCOL_UDP:
		if (available < 8 || l4 + 8 > end)
			return false;
		*word3 |= LOAD32(l4, 0);
		return true;
	case IP_PROTOCOL_SCTP:
		if (available < 12 || l4 + 12 > end)
			return false;
		*word3 |= LOAD32(l4, 0);
		return true;
	case IP_PROTOCOL_ICMP:
		if (v6)
			return true;
		if (available < 8 || l4 + 8 > end)
			return false;
		*word3 |= (__u64)LOAD8(l4, 0) << 8 | (__u64)LOAD8(l4, 1) << 24;
		return true;
	case IP_PROTOCOL_ICMPV6:
		if (!v6)
			return true;
		if (available < 4 || l4 + 4 > end || LOAD8(l4, 0) == ICMPV6_NEIGHBOUR_SOLICITATION ||
		    LOAD8(l4, 0) == ICMPV6_NEIGHBOUR_ADVERTISEMENT)
			return false;
		*word3 |= (__u64)LOAD8(l4, 0) << 8 | (__u64)LOAD8(l4, 1) << 24;
		return true;
	default:
		return true;
	}
}

/* Next headers of IPv6 that are noted in a key: extension headers, encryption, and "none". */
static __always_inline bool sluice_is_extension(__u8 protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 50 || protocol == 51 || protocol == 59 ||
	       protocol == 60 || protocol == 135;
}

/*
 * Reads any packet that the kernel reads. The verifier looks at it once, by itself, because it is not static: what it learns here would
 * otherwise multiply with everything that follows.
 */
__noinline int sluice_parse_general(struct SLUICE_CONTEXT *ctx, __u64 length, struct sluice_packet *packet)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	void *at = data + 14;
	__u64 word1, word3 = 0, word4;
	__be16 type;
	__u64 offset = 14;
	__u32 tags = 0;

	if (!packet || data + 14 > end)
		return false;
	word1 = LOAD32(data, 8);
	type = LOAD16(data, 12);
	if (packet->outer) {
		word1 |= (__u64)packet->outer << 48;
		tags = 1;
	}
#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		__u64 control;

		if (!is_tag(type))
			break;
		if (tags >= MAX_TAGS || at + 4 > end)
			return false;
		control = (__u64)((LOAD16(at, 0) & TAG_BITS) | TAG_PRESENT) << 48;
		if (tags == 0)
			word1 |= control;
		else
			word3 |= control;
		tags++;
		type = LOAD16(at, 2);
		at += 4;
		offset += 4;
	}
	word1 |= (__u64)type << 32;
	switch (type) {
	case bpf_htons(ETHERTYPE_IPV4): {
		__u64 available = length - offset;
		__u32 header_length, total_length, fragment_word, fragment = 0;

		if (at + 20 > end)
			return false;
		header_length = (LOAD8(at, 0) & 15) * 4;
		total_length = bpf_ntohs(LOAD16(at, 2));
		if (LOAD8(at, 0) >> 4 != 4 || header_length < 20 || total_length < header_length || total_length > available)
			return false;
		fragment_word = bpf_ntohs(LOAD16(at, 6));
		if (fragment_word & 0x3fff)
			fragment = FRAGMENT_ANY;
		if (fragment_word & 0x1fff)
			fragment |= FRAGMENT_LATER;
		packet->line0[2] = LOAD64(at, 12);
		word4 = LOAD16(at, 8) | (__u64)LOAD8(at, 1) << 16 | (__u64)fragment << 24;
		packet->has_line1 = false;
		if (!(fragment & FRAGMENT_LATER) &&
		    !sluice_parse_l4(at + header_length, end, total_length - header_length, LOAD8(at, 9), false, &word3))
			return false;
		break;
	}
	case bpf_htons(ETHERTYPE_IPV6): {
		__u64 available = length - offset;
		__u32 payload_length;
		__u8 protocol;

		if (at + 40 > end)
			return false;
		payload_length = bpf_ntohs(LOAD16(at, 4));
		protocol = LOAD8(at, 6);
		if (LOAD8(at, 0) >> 4 != 6 || 40 + payload_length > available || sluice_is_extension(protocol))
			return false;
		packet->line0[2] = 0;
		packet->line1[0] = LOAD64(at, 8);
		packet->line1[1] = LOAD64(at, 16);
		packet->line1[2] = LOAD64(at, 24);
		packet->line1[3] = LOAD64(at, 32);
		packet->line1[4] = LOAD32(at, 0) & 0xffff0f00;
		packet->has_line1 = true;
		word4 = LOAD8(at, 7) | (__u64)protocol << 8 | (__u64)(bpf_ntohs(LOAD16(at, 0)) >> 4 & 0xff) << 16;
		if (!sluice_parse_l4(at + 40, end, payload_length, protocol, true, &word3))
			return false;
		break;
	}
	case bpf_htons(ETHERTYPE_8021Q):
	case bpf_htons(ETHERTYPE_8021AD):
	case bpf_htons(ETHERTYPE_ARP):
	case bpf_htons(ETHERTYPE_RARP):
	case bpf_htons(ETHERTYPE_MPLS):
	case bpf_htons(ETHERTYPE_MPLS_UPSTREAM):
	case bpf_htons(ETHERTYPE_PBB):
		return false;
	default:
		packet->line0[2] = 0;
		packet->has_line1 = false;
		word4 = 0;
	}
	packet->line0[0] = LOAD64(data, 0);
	packet->line0[1] = word1;
	packet->line0[3] = word3;
	packet->line0[4] = word4;
	return true;
}

/*
 * Reads a packet in a call. What the call writes is copied, so that on the fast path, which does not come here, the key can stay in
 * registers.
 */
static __always_inline bool sluice_parse_slowly(struct SLUICE_CONTEXT *ctx, __u64 length, __u64 port, __u16 outer, struct sluice_packet *packet)
{
	struct sluice_packet parsed = { .outer = outer };

	if (!sluice_parse_general(ctx, length, &parsed))
		return false;
	__builtin_memcpy(packet->line0, parsed.line0, sizeof(parsed.line0));
	packet->line0[4] |= port;
	__builtin_memcpy(packet->line1, parsed.line1, sizeof(parsed.line1));
	packet->has_line1 = parsed.has_line1;
	return true;
}

/*
 * Reads a packet; false when it is not the kernel's.
 * length:  of the frame without a tag that lies beside it; it may be more than is directly readable.
 * outer:   control word of a tag beside the packet, as it is in a key; 0: none.
 */
static __always_inline bool sluice_parse(struct SLUICE_CONTEXT *ctx, __u64 length, __be32 in_port, __u16 outer, struct sluice_packet *packet)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 port = (__u64)in_port << 32;
	__u64 word1;
	__u32 ttl_and_protocol, total_length;

	if (outer || data + 42 > end)
		goto general;
	word1 = LOAD64(data, 8); /* the source's end, EtherType, version and header length, TOS */
	ttl_and_protocol = LOAD16(data, 22);
	total_length = bpf_ntohs(LOAD16(data, 16));
	/* DF and the reserved bit do not matter. */
	if ((word1 & 0x00ffffff00000000) != 0x0045000800000000 || LOAD16(data, 20) & 0xff3f || total_length + 14 > length)
		goto general;
	if (ttl_and_protocol >> 8 == IP_PROTOCOL_UDP) {
		if (total_length < 28)
			goto general;
		packet->line0[3] = LOAD32(data, 34);
	} else if (ttl_and_protocol >> 8 == IP_PROTOCOL_TCP) {
		if (total_length < 40 || data + 54 > end)
			goto general;
		packet->line0[3] = LOAD32(data, 34) | (__u64)(LOAD16(data, 46) & 0xff0f) << 32;
	} else {
		goto general;
	}
	packet->line0[0] = LOAD64(data, 0);
	packet->line0[1] = word1 & 0x0000ffffffffffff;
	packet->line0[2] = LOAD64(data, 26);
	packet->line0[4] = port | ttl_and_protocol | word1 >> 56 << 16;
	packet->has_line1 = false;
	return true;
general:
	return sluice_parse_slowly(ctx, length, port, outer, packet);
}

/* Marks the bytes of a word that are `byte` by their highest bits. */
static __always_inline __u64 sluice_marked(__u64 word, __u64 byte)
{
	const __u64 lower = 0x7f7f7f7f7f7f7f7f;

	word ^= byte * 0x0101010101010101;
	return ~(((word & lower) + lower) | word | lower);
}

/* The number of the lowest byte that is marked. */
static __always_inline __u32 sluice_lowest_marked(__u64 marks)
{
	return ((marks & -marks) >> 7) * 0x0001020304050607 >> 56;
}

/* The flow of a packet that came in at `port`. */
static __always_inline struct sluice_slot *sluice_find(const struct sluice_packet *packet, const struct sluice_port *port)
{
	for (__u32 i = 0; i < SLUICE_PORT_MASKS; i++) {
		__u64 line0[SLUICE_WORDS], line1[SLUICE_WORDS];
		const struct sluice_mask *mask;
		__u32 number, bucket;
		__u64 hash, marks;
		bool has_line1;
		__u8 tag;

		if (i >= port->mask_count)
			break;
		number = port->masks[i];
		mask = &sluice_masks[number];
		has_line1 = mask->lines == 3;
		if (has_line1) {
			if (!packet->has_line1)
				continue;
			line1[0] = packet->line1[0] & mask->words1[0];
			line1[1] = packet->line1[1] & mask->words1[1];
			line1[2] = packet->line1[2] & mask->words1[2];
			line1[3] = packet->line1[3] & mask->words1[3];
			line1[4] = packet->line1[4] & mask->words1[4];
		}
		line0[0] = packet->line0[0] & mask->words[0];
		line0[1] = packet->line0[1] & mask->words[1];
		line0[2] = packet->line0[2] & mask->words[2];
		line0[3] = packet->line0[3] & mask->words[3];
		line0[4] = packet->line0[4] & mask->words[4];
		hash = sluice_hash(line0, line1, has_line1, number, &sluice_config.hash);
		tag = sluice_hash_tag(hash);
		bucket = (__u32)hash & sluice_config.bucket_mask;
		marks = sluice_marked(sluice_buckets[bucket].tags, tag);
		/* Each slot with this tag, here and in the bucket beside. */
		for (int j = 0; j < SLUICE_SAME_TAGS; j++) {
			struct sluice_slot *slot;
			const struct sluice_flow *flow;
			__u64 difference;
			__u32 index;

			if (!marks) {
				if (bucket != ((__u32)hash & sluice_config.bucket_mask))
					break;
				bucket ^= 1;
				marks = sluice_marked(sluice_buckets[bucket & sluice_config.bucket_mask].tags, tag);
				if (!marks)
					break;
			}
			index = bucket * SLUICE_BUCKET_SLOTS + sluice_lowest_marked(marks);
			marks &= marks - 1;
			slot = bpf_map_lookup_elem(&sluice_flows, &index);
			if (!slot || slot->flow.mask != number)
				continue;
			flow = &slot->flow;
			difference = (line0[0] ^ flow->key[0]) | (line0[1] ^ flow->key[1]) |
				     (line0[2] ^ flow->key[2]) | (line0[3] ^ flow->key[3]) |
				     (line0[4] ^ flow->key[4]);
			if (has_line1) {
				const struct sluice_line *key1 = bpf_map_lookup_elem(&sluice_line1, &index);

				if (!key1)
					continue;
				difference |= (line1[0] ^ key1->words[0]) | (line1[1] ^ key1->words[1]) | (line1[2] ^ key1->words[2]) |
					      (line1[3] ^ key1->words[3]) | (line1[4] ^ key1->words[SLUICE_WORD_LABEL]);
			}
			if (!difference)
				return slot;
		}
	}
	return NULL;
}

/* Whether a flow's packets are carried out here already, or still go up so that they do not overtake those that went before. */
static __always_inline bool sluice_is_active(struct sluice_slot *slot)
{
	volatile __u32 *state = &slot->flow.state;
	const struct sluice_worker *worker;
	__u32 index;
	__u64 now;

	if (*state == SLUICE_FLOW_ACTIVE)
		return true;
	now = bpf_ktime_get_ns();
	index = slot->flow.worker;
	worker = bpf_map_lookup_elem(&sluice_workers, &index);
	if (now >= slot->use.forced_at || (worker && worker->drained > slot->use.last_up + SLUICE_UP_NANOSECONDS)) {
		*state = SLUICE_FLOW_ACTIVE;
		return true;
	}
	slot->use.last_up = now;
	return false;
}

static __always_inline void sluice_count_flow(struct sluice_slot *slot, __u64 packets, __u64 bytes)
{
	struct sluice_flow_use *use = &slot->use;
	__u32 self = bpf_get_smp_processor_id() + 1;
	__u32 ticks = bpf_jiffies64() >> 3;

	if (use->owner == self || (!use->owner && !__sync_val_compare_and_swap(&use->owner, 0, self))) {
		use->packets += packets;
		use->bytes += bytes;
	} else {
		__sync_fetch_and_add(&use->other_packets, packets);
		__sync_fetch_and_add(&use->other_bytes, bytes);
	}
	if (use->ticks != ticks) {
		use->ticks = ticks;
		use->used = bpf_ktime_get_coarse_ns();
	}
}

static __always_inline struct sluice_port_count *sluice_port_counter(__u32 index)
{
	return bpf_map_lookup_elem(&sluice_port_counts, &index);
}

static __always_inline void sluice_count_in(__u64 packets, __u64 bytes, bool is_drop)
{
	struct sluice_port_count *count = sluice_port_counter(sluice_config.port);

	if (!count)
		return;
	count->in_packets += packets;
	count->in_bytes += bytes;
	if (is_drop) {
		count->drop_packets += packets;
		count->drop_bytes += bytes;
	}
}

static __always_inline void sluice_count_out(__u32 port, __u64 packets, __u64 bytes)
{
	struct sluice_port_count *count = sluice_port_counter(port);

	if (!count)
		return;
	count->out_packets += packets;
	count->out_bytes += bytes;
}

static __always_inline void sluice_count_lost(__u64 packets)
{
	struct sluice_port_count *count = sluice_port_counter(sluice_config.port);

	if (count)
		count->lost_packets += packets;
}

/* What can be done with a flow's packet at a hook; the worse the higher. */
enum sluice_fit {
	SLUICE_FITS,
	SLUICE_FOR_TC,	/* XDP cannot, tc could */
	SLUICE_FOR_WORKER,
};

/* Whether a frame of `length` bytes can be sent out of a port; XDP needs a port that XDP may redirect to. */
static __always_inline enum sluice_fit sluice_fits_port(const struct sluice_port *port, __u64 length, bool is_xdp)
{
	if (!port->is_up || length > port->max_frame)
		return SLUICE_FOR_WORKER;
	if (is_xdp && !(port->hooks & SLUICE_HOOK_XDP))
		return SLUICE_FOR_TC;
	return SLUICE_FITS;
}

/* What a packet is, for its rewriting. */
struct sluice_shape {
	__be16 type;	/* EtherType behind the tags */
	__u8 tags;
	__u8 ttl;
	__u8 protocol;
	__u8 is_later;	/* a later fragment: no L4 header */
	__u8 reserved[2];
};

static __always_inline struct sluice_shape sluice_shape(const struct sluice_packet *packet)
{
	return (struct sluice_shape) {
		.type = packet->line0[1] >> 32,
		.tags = (packet->line0[1] >> 48 != 0) + (packet->line0[3] >> 48 != 0),
		.ttl = packet->line0[4],
		.protocol = packet->line0[4] >> 8,
		.is_later = (packet->line0[4] >> 24 & FRAGMENT_LATER) != 0,
	};
}

/* What is known while a program's operations are gone through one after the other, before any is carried out. */
struct sluice_fitting {
	__u64 length;	/* of the longest frame that goes over the wire */
	__u32 version;	/* of IP: 4, 6 or 0 */
	__u32 tags;
	__u32 has_ports;	/* TCP or UDP */
	__u32 is_xdp;
	__u32 fit;	/* enum sluice_fit */
	__u32 reserved;
};

/*
 * Goes on by one operation: the header that it changes is there, its port takes what has become of the packet. The verifier looks at
 * this once, by itself, because it is not static: what it learns of each operation would otherwise multiply.
 */
__noinline int sluice_fits_op(const struct sluice_op *op, struct sluice_fitting *fitting)
{
	enum sluice_fit fit = SLUICE_FITS;

	if (!op || !fitting)
		return false;
	switch (op->code) {
	case SLUICE_OP_OUTPUT:
		fit = sluice_fits_port(sluice_port_at(op->port), fitting->length, fitting->is_xdp);
		break;
	case SLUICE_OP_ETH_DST:
	case SLUICE_OP_ETH_SRC:
		break;
	case SLUICE_OP_VLAN_TCI:
		if (!fitting->tags)
			fit = SLUICE_FOR_WORKER;
		break;
	case SLUICE_OP_IPV4_SRC:
	case SLUICE_OP_IPV4_DST:
		if (fitting->version != 4)
			fit = SLUICE_FOR_WORKER;
		break;
	case SLUICE_OP_IPV6_SRC:
	case SLUICE_OP_IPV6_DST:
		if (fitting->version != 6)
			fit = SLUICE_FOR_WORKER;
		break;
	case SLUICE_OP_IP_TOS:
	case SLUICE_OP_IP_TTL:
	case SLUICE_OP_DEC_TTL:
		if (!fitting->version)
			fit = SLUICE_FOR_WORKER;
		break;
	case SLUICE_OP_TP_SRC:
	case SLUICE_OP_TP_DST:
		if (!fitting->has_ports)
			fit = SLUICE_FOR_WORKER;
		break;
	case SLUICE_OP_PUSH_VLAN:
		if (fitting->tags >= MAX_TAGS)
			fit = SLUICE_FOR_WORKER;
		fitting->tags++;
		fitting->length += 4;
		break;
	case SLUICE_OP_POP_VLAN:
		if (!fitting->tags)
			fit = SLUICE_FOR_WORKER;
		fitting->tags--;
		fitting->length -= 4;
		break;
	default:
		fit = SLUICE_FOR_WORKER;
	}
	if (fit > fitting->fit)
		fitting->fit = fit;
	return fit != SLUICE_FOR_WORKER;
}

/* Whether all of a program can be carried out on a packet. `length` is that of the longest frame that goes over the wire. */
static __always_inline enum sluice_fit sluice_fits_program(const struct sluice_program *program, const struct sluice_shape *shape,
							   __u64 length, bool is_xdp)
{
	struct sluice_fitting fitting = { .length = length, .tags = shape->tags, .is_xdp = is_xdp };

	if (shape->type == bpf_htons(ETHERTYPE_IPV4))
		fitting.version = 4;
	else if (shape->type == bpf_htons(ETHERTYPE_IPV6))
		fitting.version = 6;
	fitting.has_ports = fitting.version && (shape->protocol == IP_PROTOCOL_TCP || shape->protocol == IP_PROTOCOL_UDP);
	if (shape->ttl < program->ttl)
		return SLUICE_FOR_WORKER;
	if (is_xdp && program->flags & SLUICE_PROGRAM_TC_ONLY)
		fitting.fit = SLUICE_FOR_TC;
	for (__u32 i = 0; i < SLUICE_PROGRAM_OPS; i++) {
		if (i >= program->count)
			break;
		if (!sluice_fits_op(&program->ops[i], &fitting))
			return SLUICE_FOR_WORKER;
	}
	return fitting.fit;
}

/* Where the headers of a packet are that is being rewritten: offsets from its first byte. */
struct sluice_places {
	__u32 l3;
	__u32 l4;	/* 0: none that has a checksum or ports */
	__u32 sum;	/* of the L4 checksum; 0 with l4 */
	__u32 tags;
	__u32 version;	/* 4, 6 or 0 */
	__u32 udp;
};

/* Bytes between the L4 header and its checksum, where it covers the addresses; 0: none. */
static __always_inline __u32 sluice_sum_offset(__u8 protocol, __u32 version)
{
	if (protocol == IP_PROTOCOL_TCP)
		return 16;
	if (protocol == IP_PROTOCOL_UDP)
		return 6;
	return version == 6 && protocol == IP_PROTOCOL_ICMPV6 ? 2 : 0;
}

/* `l3` is where the network header begins, and `first` its first byte. */
static __always_inline struct sluice_places sluice_places(const struct sluice_shape *shape, __u32 l3, __u8 first)
{
	struct sluice_places places = { .l3 = l3, .tags = shape->tags };
	__u32 sum;

	if (shape->type == bpf_htons(ETHERTYPE_IPV4))
		places.version = 4;
	else if (shape->type == bpf_htons(ETHERTYPE_IPV6))
		places.version = 6;
	sum = sluice_sum_offset(shape->protocol, places.version);
	if (!places.version || shape->is_later || !sum)
		return places;
	places.udp = shape->protocol == IP_PROTOCOL_UDP;
	places.l4 = l3 + (places.version == 4 ? (first & 15) * 4 : 40);
	places.sum = places.l4 + sum;
	return places;
}

/* The first byte of the frame moved, and its headers did not. */
static __always_inline void sluice_move_places(struct sluice_places *places, __s32 by)
{
	places->l3 += by;
	if (places->l4) {
		places->l4 += by;
		places->sum += by;
	}
}

/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * frame.h: headers of a frame, as far as the kernel tier reads them.
 *
 * What:       fixed parts of Ethernet, 802.1Q, ARP, IPv4, IPv6 and neighbour discovery, and a cursor that cannot leave the frame.
 * Invariants: structs are made of bytes and big-endian words, have alignment 1, and match the wire.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_8021Q 0x8100
#define ETHERTYPE_8021AD 0x88a8

/* As many tags as the switch itself understands: 802.1ad outside, 802.1Q inside, or any two of them. */
#define MAX_TAGS 2

struct ethernet {
	__u8 destination[6];
	__u8 source[6];
	__be16 type;
} __attribute__((packed));

static __always_inline bool is_tag(__be16 type)
{
	return type == bpf_htons(ETHERTYPE_8021Q) || type == bpf_htons(ETHERTYPE_8021AD);
}

struct vlan_tag {
	__be16 control;
	__be16 type;	/* of what follows the tag */
} __attribute__((packed));

/* RFC 826, for IPv4 over Ethernet. */
struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
} __attribute__((packed));

struct ipv4 {
	__u8 version_and_length;
	__u8 tos;
	__be16 total_length;
	__be16 identification;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__u8 source[4];
	__u8 destination[4];
} __attribute__((packed));

struct ipv6 {
	__u8 version_and_class;
	__u8 class_and_flow[3];
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__u8 source[16];
	__u8 destination[16];
} __attribute__((packed));

/* RFC 4861, section 4.3. */
struct neighbour_solicitation {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 reserved;
	__u8 target[16];
} __attribute__((packed));

#define IP_PROTOCOL_ICMPV6 58
#define ICMPV6_NEIGHBOUR_SOLICITATION 135

/* Where the next header begins, and where the frame ends. */
struct cursor {
	void *next;
	void *end;
};

/* The header at the cursor, which then moves behind it; NULL when the frame ends before the header does. */
#define TAKE(cursor, type)                                                       \
	({                                                                       \
		type *header = (cursor)->next;                                   \
		if ((void *)(header + 1) > (cursor)->end)                        \
			header = (void *)0;                                      \
		else                                                             \
			(cursor)->next = header + 1;                             \
		header;                                                          \
	})

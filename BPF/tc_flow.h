/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tc_flow.h: carries out a flow's answer in tc, and sends up what has none.
 *
 * What:       drop, send out of one port or several, rewrite in between; everything through helpers, so that checksums that the hardware or
 *             the kernel is still to complete (CHECKSUM_PARTIAL), and packets that are still to be segmented, come out right.
 * Invariants: what cannot be done as a whole is not begun and goes up. A frame is what it was on the wire: the outermost tag, which
 *             the kernel keeps beside the packet, is in its key, in its length and in what goes up.
 * Cost:       a helper call for each output, two to four for each rewriting.
 */
#pragma once

#define SLUICE_CONTEXT __sk_buff
#include "flow.h"

#include <linux/pkt_cls.h>

/* A packet as the counters and the ports see it: on the wire it may be many. */
struct sluice_wire {
	__u64 packets;
	__u64 bytes;
	__u64 longest;	/* of one frame */
};

/* The tag beside the packet as it is in a key; 0: none. */
static __always_inline __u16 outer_tag(struct __sk_buff *skb)
{
	return skb->vlan_present ? (bpf_htons(skb->vlan_tci) & TAG_BITS) | TAG_PRESENT : 0;
}

/* Where the network header of a packet begins that had so many tags when it was read. */
static __always_inline __u32 network_offset(struct __sk_buff *skb, __u32 tags)
{
	return 14 + 4 * (tags - (tags && skb->vlan_present));
}

static __always_inline __u8 byte_at(struct __sk_buff *skb, __u32 offset)
{
	__u8 byte = 0;

	bpf_skb_load_bytes(skb, offset, &byte, 1);
	return byte;
}

/* What becomes of the packet on the wire. Segments repeat the headers. */
static __always_inline struct sluice_wire on_the_wire(struct __sk_buff *skb, const struct sluice_packet *packet)
{
	__u64 tag = skb->vlan_present ? 4 : 0;
	struct sluice_wire wire = { .packets = 1, .bytes = skb->len + tag, .longest = skb->len + tag };
	struct sluice_shape shape;
	struct sluice_places places;
	__u64 headers;
	__u32 l3;

	if (!skb->gso_size)
		return wire;
	shape = sluice_shape(packet);
	l3 = network_offset(skb, shape.tags);
	places = sluice_places(&shape, l3, byte_at(skb, l3));
	if (!places.l4)
		return wire;
	headers = places.l4 + (places.udp ? 8 : (byte_at(skb, places.l4 + 12) >> 4) * 4);
	wire.longest = headers + skb->gso_size + tag;
	if (skb->len <= headers)
		return wire;
	wire.packets = skb->gso_segs;
	if (!wire.packets)
		wire.packets = (skb->len - headers + skb->gso_size - 1) / skb->gso_size;
	wire.bytes += (wire.packets - 1) * (headers + tag);
	return wire;
}

/* The bits `mask` of `count` bytes become those of `value`; `old` and `new` get what is there before and behind. */
static __always_inline bool replaced(struct __sk_buff *skb, __u32 offset, const struct sluice_op *op, __u32 *old, __u32 *new, __u32 words,
				     __u32 count)
{
	if (bpf_skb_load_bytes(skb, offset, old, count))
		return false;
	for (__u32 i = 0; i < words; i++)
		new[i] = (old[i] & ~((const __u32 *)op->mask)[i]) | ((const __u32 *)op->value)[i];
	return true;
}

static __always_inline bool set_mac(struct __sk_buff *skb, __u32 offset, const struct sluice_op *op)
{
	__u32 old[2] = {}, new[2];

	return replaced(skb, offset, op, old, new, 2, 6) && !bpf_skb_store_bytes(skb, offset, new, 6, 0);
}

static __always_inline bool set_ipv4(struct __sk_buff *skb, const struct sluice_places *places, __u32 offset, const struct sluice_op *op)
{
	__u32 old, new;

	offset += places->l3;
	if (!replaced(skb, offset, op, &old, &new, 1, 4))
		return false;
	if (places->l4 &&
	    bpf_l4_csum_replace(skb, places->sum, old, new, 4 | BPF_F_PSEUDO_HDR | (places->udp ? BPF_F_MARK_MANGLED_0 : 0)))
		return false;
	return !bpf_l3_csum_replace(skb, places->l3 + 10, old, new, 4) && !bpf_skb_store_bytes(skb, offset, &new, 4, 0);
}

static __always_inline bool set_ipv6(struct __sk_buff *skb, const struct sluice_places *places, __u32 offset, const struct sluice_op *op)
{
	__u32 old[4], new[4];
	__s64 difference;

	offset += places->l3;
	if (!replaced(skb, offset, op, old, new, 4, 16))
		return false;
	/* Without a checksum above it, nothing balances the change in the sum that a NIC has computed over the packet. */
	if (!places->l4)
		return !bpf_skb_store_bytes(skb, offset, new, 16, BPF_F_RECOMPUTE_CSUM);
	difference = bpf_csum_diff(old, 16, new, 16, 0);
	if (difference < 0 ||
	    bpf_l4_csum_replace(skb, places->sum, 0, difference, BPF_F_PSEUDO_HDR | (places->udp ? BPF_F_MARK_MANGLED_0 : 0)))
		return false;
	/* The helper takes the change out of that sum as if there were a header checksum to balance it, as IPv4 has: put it back. */
	bpf_csum_update(skb, difference);
	return !bpf_skb_store_bytes(skb, offset, new, 16, 0);
}

/* Replaces bits of a 16-bit word of the network header; IPv4's checksum covers it, IPv6 has none. All in network order. */
static __always_inline bool set_l3_word(struct __sk_buff *skb, const struct sluice_places *places, __u32 offset, __be16 value, __be16 mask)
{
	__u16 old, new;

	offset += places->l3;
	if (bpf_skb_load_bytes(skb, offset, &old, 2))
		return false;
	new = (old & ~mask) | value;
	if (places->version != 4)
		return !bpf_skb_store_bytes(skb, offset, &new, 2, BPF_F_RECOMPUTE_CSUM);
	return !bpf_l3_csum_replace(skb, places->l3 + 10, old, new, 2) && !bpf_skb_store_bytes(skb, offset, &new, 2, 0);
}

static __always_inline bool set_port(struct __sk_buff *skb, const struct sluice_places *places, __u32 offset, const struct sluice_op *op)
{
	__u16 old, new;

	/* A later fragment has no ports, and goes on as it is. */
	if (!places->l4)
		return true;
	offset += places->l4;
	if (bpf_skb_load_bytes(skb, offset, &old, 2))
		return false;
	new = (old & ~*(const __u16 *)op->mask) | *(const __u16 *)op->value;
	return !bpf_l4_csum_replace(skb, places->sum, old, new, 2 | (places->udp ? BPF_F_MARK_MANGLED_0 : 0)) &&
	       !bpf_skb_store_bytes(skb, offset, &new, 2, 0);
}

#include "set_field.h"

/* VID and priority are those of the outermost tag so far. */
static __always_inline bool push_vlan(struct __sk_buff *skb, struct sluice_places *places, const struct sluice_op *op)
{
	__be16 control = 0;

	if (skb->vlan_present)
		control = bpf_htons(skb->vlan_tci);
	else if (places->tags && bpf_skb_load_bytes(skb, 14, &control, 2))
		return false;
	if (bpf_skb_vlan_push(skb, *(const __be16 *)op->value, bpf_ntohs(control & TAG_BITS)))
		return false;
	places->tags++;
	return true;
}

static __always_inline bool pop_vlan(struct __sk_buff *skb, struct sluice_places *places)
{
	if (bpf_skb_vlan_pop(skb))
		return false;
	places->tags--;
	return true;
}

static __always_inline bool set_tag(struct __sk_buff *skb, const struct sluice_op *op)
{
	__be16 mask = *(const __be16 *)op->mask & TAG_BITS, value = *(const __be16 *)op->value;
	__be16 control;

	if (skb->vlan_present) {
		__be16 type = skb->vlan_proto;

		control = (bpf_htons(skb->vlan_tci) & ~mask) | value;
		return !bpf_skb_vlan_pop(skb) && !bpf_skb_vlan_push(skb, type, bpf_ntohs(control));
	}
	if (bpf_skb_load_bytes(skb, 14, &control, 2))
		return false;
	control = (control & ~mask) | value;
	return !bpf_skb_store_bytes(skb, 14, &control, 2, 0);
}

/* Carries out one operation that rewrites; 0 when the kernel did not let the packet be changed. By itself, as sluice_fits_op is. */
__noinline int sluice_tc_apply(struct __sk_buff *skb, const struct sluice_op *op, struct sluice_places *places)
{
	__u32 l3;
	bool done = true;

	if (!op || !places)
		return false;
	switch (op->code) {
	case SLUICE_OP_DEC_TTL:
		return set_ttl(skb, places, (__u8)(byte_at(skb, places->l3 + ttl_offset(places)) - 1), 0xff);
	case SLUICE_OP_VLAN_TCI:
		done = set_tag(skb, op);
		break;
	case SLUICE_OP_PUSH_VLAN:
		done = push_vlan(skb, places, op);
		break;
	case SLUICE_OP_POP_VLAN:
		done = pop_vlan(skb, places);
		break;
	default:
		return set_field(skb, op, places);
	}
	/* The kernel moves tags between the packet and the place beside it as it likes. */
	l3 = network_offset(skb, places->tags);
	sluice_move_places(places, l3 - places->l3);
	return done;
}

/* Writes the frame as it would be on the wire. */
static __always_inline bool dry_output(struct __sk_buff *skb, __u32 port)
{
	struct sluice_dry_output *output = bpf_ringbuf_reserve(&sluice_dry, sizeof(*output) + SLUICE_DRY_BYTES, 0);
	__u64 length = skb->len;

	if (!output)
		return false;
	output->port = port;
	output->length = length;
	if (length > SLUICE_DRY_BYTES - 4)
		length = SLUICE_DRY_BYTES - 4;
	if (length > 12) {
		if (skb->vlan_present) {
			output->length += 4;
			bpf_skb_load_bytes(skb, 0, output->bytes, 12);
			*(__be16 *)(output->bytes + 12) = skb->vlan_proto;
			*(__be16 *)(output->bytes + 14) = bpf_htons(skb->vlan_tci);
			bpf_skb_load_bytes(skb, 12, output->bytes + 16, length - 12);
		} else {
			bpf_skb_load_bytes(skb, 0, output->bytes, length);
		}
	}
	bpf_ringbuf_submit(output, 0);
	return true;
}

/* Sends the packet out of a port, and is done with it. */
static __always_inline int output(struct __sk_buff *skb, __u32 index)
{
	const struct sluice_port *port = sluice_port_at(index);
	__u8 destination[8] = {};

	if (sluice_config.dry)
		return dry_output(skb, index) ? SLUICE_DRY_DONE : SLUICE_DRY_UP;
	if (port->hooks & SLUICE_HOOK_PEER && !bpf_skb_load_bytes(skb, 0, destination, 6) &&
	    *(__u32 *)destination == LOAD32(port->peer_mac, 0) && *(__u16 *)(destination + 4) == LOAD16(port->peer_mac, 4)) {
		/* It was not addressed to this end of the veth, and at the other nothing looks again. */
		bpf_skb_change_type(skb, 0 /* PACKET_HOST */);
		return bpf_redirect_peer(port->ifindex, 0);
	}
	return bpf_redirect(port->ifindex, 0);
}

/* Sends a copy of the packet out of a port. */
static __always_inline void output_copy(struct __sk_buff *skb, __u32 index)
{
	if (sluice_config.dry)
		dry_output(skb, index);
	else
		bpf_clone_redirect(skb, sluice_port_at(index)->ifindex, 0);
}

/* Drops a packet; `reason` is enum sluice_drop_reason. */
static __always_inline int shot(struct __sk_buff *skb, __u32 reason)
{
	if (sluice_config.dry)
		return SLUICE_DRY_DONE;
	sluice_sample(skb, reason, skb->len);
	return TC_ACT_SHOT;
}

/* A program that the packet fits; it is counted already, its outputs are not. */
static __always_inline int run_program(struct __sk_buff *skb, const struct sluice_program *program, const struct sluice_shape *shape,
				       const struct sluice_wire *wire)
{
	__u32 l3 = network_offset(skb, shape->tags);
	struct sluice_places places = sluice_places(shape, l3, byte_at(skb, l3));

	for (__u32 i = 0; i < SLUICE_PROGRAM_OPS; i++) {
		const struct sluice_op *op = &program->ops[i];

		if (i >= program->count)
			break;
		if (op->code == SLUICE_OP_OUTPUT) {
			__s64 longer = 4 * ((__s64)places.tags - shape->tags);

			sluice_count_out(op->port, wire->packets, wire->bytes + longer * wire->packets);
			if (i + 1 >= program->count)
				return output(skb, op->port);
			output_copy(skb, op->port);
		} else if (!sluice_tc_apply(skb, op, &places)) {
			sluice_count_lost(wire->packets);
			return shot(skb, SLUICE_DROP_OUTPUT);
		}
	}
	return shot(skb, SLUICE_DROP_FLOW);
}

#define SLUICE_TC_UP -2

/* Answers a packet by its flow, or returns SLUICE_TC_UP. */
static __always_inline int sluice_tc_flow(struct __sk_buff *skb)
{
	const struct sluice_port *port = sluice_port_at(sluice_config.port);
	__u64 readable = (void *)(long)skb->data_end - (void *)(long)skb->data;
	const struct sluice_program *program;
	struct sluice_packet packet;
	struct sluice_shape shape;
	struct sluice_wire wire;
	struct sluice_slot *slot;
	__u32 index;

	if (!port->mask_count)
		return SLUICE_TC_UP;
	if (readable < SLUICE_HEADER_BYTES && readable < skb->len &&
	    bpf_skb_pull_data(skb, skb->len < SLUICE_HEADER_BYTES ? skb->len : SLUICE_HEADER_BYTES))
		return SLUICE_TC_UP;
	if (!sluice_parse(skb, skb->len, bpf_htonl(port->number), outer_tag(skb), &packet))
		return SLUICE_TC_UP;
	slot = sluice_find(&packet, port);
	if (!slot || !sluice_is_active(slot))
		return SLUICE_TC_UP;
	wire = on_the_wire(skb, &packet);
	switch (slot->flow.answer) {
	case SLUICE_ANSWER_DROP:
		sluice_count_flow(slot, wire.packets, wire.bytes);
		sluice_count_in(wire.packets, wire.bytes, true);
		return shot(skb, SLUICE_DROP_FLOW);
	case SLUICE_ANSWER_OUTPUT:
		index = slot->flow.port;
		if (sluice_fits_port(sluice_port_at(index), wire.longest, false) != SLUICE_FITS)
			return SLUICE_TC_UP;
		sluice_count_flow(slot, wire.packets, wire.bytes);
		sluice_count_in(wire.packets, wire.bytes, false);
		sluice_count_out(index, wire.packets, wire.bytes);
		return output(skb, index);
	case SLUICE_ANSWER_PROGRAM:
		index = slot->flow.program;
		program = bpf_map_lookup_elem(&sluice_programs, &index);
		shape = sluice_shape(&packet);
		if (!program || sluice_fits_program(program, &shape, wire.longest, false) != SLUICE_FITS)
			return SLUICE_TC_UP;
		sluice_count_flow(slot, wire.packets, wire.bytes);
		sluice_count_in(wire.packets, wire.bytes, false);
		return run_program(skb, program, &shape, &wire);
	default:
		return SLUICE_TC_UP;
	}
}

/* Tags that can be put back into a packet on its way up: one more than the switch understands, so that the worker says what is wrong. */
#define UP_TAGS 3

/* What is put in front of what follows the addresses of a frame that goes up. */
struct up_front {
	struct sluice_up_header header;
	__u8 addresses[12];
	struct {
		__be16 type;
		__be16 control;
	} tags[UP_TAGS];
};

/* Sends the packet to the worker, through the upcall pair. */
static __always_inline int sluice_tc_up(struct __sk_buff *skb)
{
	struct up_front front = { .header = { .mark = SLUICE_UP_MARK, .port = sluice_config.port, .type = bpf_htons(SLUICE_UP_ETHERTYPE) } };
	struct sluice_port_count *count;
	__u32 more = sizeof(front.header);

	if (sluice_config.dry)
		return SLUICE_DRY_UP;
	if (!sluice_config.up_ifindex)
		goto lost;
	/* Taking away the tag beside the packet brings the next one out of the packet into its place. */
#pragma unroll
	for (int i = 0; i < UP_TAGS; i++) {
		if (!skb->vlan_present)
			break;
		front.tags[i].type = skb->vlan_proto;
		front.tags[i].control = bpf_htons(skb->vlan_tci);
		if (bpf_skb_vlan_pop(skb))
			goto lost;
		more += 4;
	}
	if (skb->vlan_present || bpf_skb_load_bytes(skb, 0, front.addresses, sizeof(front.addresses)) || bpf_skb_change_head(skb, more, 0))
		goto lost;
	if (bpf_skb_store_bytes(skb, 0, &front, more + sizeof(front.addresses), 0))
		goto lost;
	count = sluice_port_counter(sluice_config.port);
	if (count)
		count->up_packets++;
	return bpf_redirect(sluice_config.up_ifindex, 0);
lost:
	sluice_count_lost(1);
	return shot(skb, SLUICE_DROP_NO_SOCKET);
}

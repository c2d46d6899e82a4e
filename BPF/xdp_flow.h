/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * xdp_flow.h: carries out a flow's answer in XDP.
 *
 * What:       drop, send out of a port, or rewrite and send; bytes are changed where they lie, checksums by the difference (RFC 1624), so one
 *             that was wrong stays wrong.
 * Invariants: what cannot be done as a whole is not begun: it goes to the tc program of the port (marked by metadata in front of the
 *             frame), or to the worker. Bytes are what Sources/Dataplane/Frame/FrameRewriter.swift makes of them.
 * Cost:       a flow with one output: two look-ups, in arrays. A program costs a call, two walks over its operations, and nothing per byte.
 */
#pragma once

#define SLUICE_CONTEXT xdp_md
#include "flow.h"

/* Where flows may be sent out: an interface for each port index. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, SLUICE_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} sluice_devmap SEC(".maps");

/* No verdict: the frame goes on as one that has no flow here. */
#define SLUICE_XDP_UP -1

/* No verdict: the frame is for the tc program of this port, and marked so. */
#define SLUICE_XDP_TO_TC -2

static __always_inline __u64 frame_length(struct xdp_md *ctx) { return (void *)(long)ctx->data_end - (void *)(long)ctx->data; }

/* `count` bytes at an offset of the frame, or NULL; an offset is below 256. */
static __always_inline void *frame_bytes(struct xdp_md *ctx, __u32 offset, __u32 count)
{
	void *bytes = (void *)(long)ctx->data + (offset & 0xff);

	return bytes + count > (void *)(long)ctx->data_end ? (void *)0 : bytes;
}

/* A checksum after bytes that it covers changed by `difference`. */
static __always_inline __u16 sum_updated(__u16 sum, __u64 difference)
{
	difference += (__u16)~sum;
	difference = (difference & 0xffffffff) + (difference >> 32);
	difference = (difference & 0xffff) + (difference >> 16);
	difference = (difference & 0xffff) + (difference >> 16);
	difference = (difference & 0xffff) + (difference >> 16);
	return ~difference;
}

static __always_inline void adjust_sum(struct xdp_md *ctx, __u32 offset, __u64 difference, bool udp)
{
	__u16 *sum = frame_bytes(ctx, offset, 2);
	__u16 updated;

	/* UDP's zero is "none", and stays; a computed zero is sent as its other form. */
	if (!sum || (udp && *sum == 0))
		return;
	updated = sum_updated(*sum, difference);
	*sum = udp && updated == 0 ? 0xffff : updated;
}

/* Replaces bits of the frame; `difference` is what that does to a sum over them. */
#define REPLACE(type, bytes, value, mask)                                            \
	({                                                                           \
		type *place_ = (bytes);                                              \
		type old_ = *place_, new_ = (old_ & ~(mask)) | (value);              \
		*place_ = new_;                                                      \
		(__u64)(type)~old_ + new_;                                           \
	})

#define VALUE(type, op, index) (((const type *)(op)->value)[index])
#define MASK(type, op, index) (((const type *)(op)->mask)[index])

static __always_inline bool set_mac(struct xdp_md *ctx, __u32 offset, const struct sluice_op *op)
{
	void *bytes = frame_bytes(ctx, offset, 6);

	if (!bytes)
		return false;
	REPLACE(__u32, bytes, VALUE(__u32, op, 0), MASK(__u32, op, 0));
	REPLACE(__u16, bytes + 4, VALUE(__u16, op, 2), MASK(__u16, op, 2));
	return true;
}

static __always_inline bool set_ipv4(struct xdp_md *ctx, const struct sluice_places *places, __u32 offset, const struct sluice_op *op)
{
	void *bytes = frame_bytes(ctx, places->l3 + offset, 4);
	__u64 difference;

	if (!bytes)
		return false;
	difference = REPLACE(__u32, bytes, VALUE(__u32, op, 0), MASK(__u32, op, 0));
	adjust_sum(ctx, places->l3 + 10, difference, false);
	if (places->l4)
		adjust_sum(ctx, places->sum, difference, places->udp);
	return true;
}

static __always_inline bool set_ipv6(struct xdp_md *ctx, const struct sluice_places *places, __u32 offset, const struct sluice_op *op)
{
	void *bytes = frame_bytes(ctx, places->l3 + offset, 16);
	__u64 difference;

	if (!bytes)
		return false;
	difference = REPLACE(__u32, bytes, VALUE(__u32, op, 0), MASK(__u32, op, 0));
	difference += REPLACE(__u32, bytes + 4, VALUE(__u32, op, 1), MASK(__u32, op, 1));
	difference += REPLACE(__u32, bytes + 8, VALUE(__u32, op, 2), MASK(__u32, op, 2));
	difference += REPLACE(__u32, bytes + 12, VALUE(__u32, op, 3), MASK(__u32, op, 3));
	if (places->l4)
		adjust_sum(ctx, places->sum, difference, places->udp);
	return true;
}

/* Replaces bits of a 16-bit word of the network header; IPv4's checksum covers it, IPv6 has none. All in network order. */
static __always_inline bool set_l3_word(struct xdp_md *ctx, const struct sluice_places *places, __u32 offset, __be16 value, __be16 mask)
{
	void *bytes = frame_bytes(ctx, places->l3 + offset, 2);
	__u64 difference;

	if (!bytes)
		return false;
	difference = REPLACE(__u16, bytes, value, mask);
	if (places->version == 4)
		adjust_sum(ctx, places->l3 + 10, difference, false);
	return true;
}

static __always_inline bool set_port(struct xdp_md *ctx, const struct sluice_places *places, __u32 offset, const struct sluice_op *op)
{
	void *bytes;

	/* A later fragment has no ports, and goes on as it is. */
	if (!places->l4)
		return true;
	bytes = frame_bytes(ctx, places->l4 + offset, 2);
	if (!bytes)
		return false;
	adjust_sum(ctx, places->sum, REPLACE(__u16, bytes, VALUE(__u16, op, 0), MASK(__u16, op, 0)), places->udp);
	return true;
}

#include "set_field.h"

static __always_inline bool decrement_ttl(struct xdp_md *ctx, const struct sluice_places *places)
{
	__u8 *ttl = frame_bytes(ctx, places->l3 + ttl_offset(places), 1);

	return ttl && set_ttl(ctx, places, *ttl - 1, 0xff);
}

/* Lets the frame begin `by` bytes later, its Ethernet addresses included. */
static __always_inline bool move_addresses(struct xdp_md *ctx, __s32 by)
{
	__u32 *bytes = frame_bytes(ctx, 0, 12);
	__u32 first, second, third;

	if (!bytes)
		return false;
	first = bytes[0];
	second = bytes[1];
	third = bytes[2];
	if (bpf_xdp_adjust_head(ctx, by))
		return false;
	bytes = frame_bytes(ctx, 0, 12);
	if (!bytes)
		return false;
	bytes[0] = first;
	bytes[1] = second;
	bytes[2] = third;
	return true;
}

/* VID and priority are those of the outermost tag so far. */
static __always_inline bool push_vlan(struct xdp_md *ctx, struct sluice_places *places, const struct sluice_op *op)
{
	__u16 *control = frame_bytes(ctx, 14, 2);
	__u16 *tag, copied = 0;

	if (places->tags) {
		if (!control)
			return false;
		copied = *control & TAG_BITS;
	}
	if (!move_addresses(ctx, -4))
		return false;
	tag = frame_bytes(ctx, 12, 4);
	if (!tag)
		return false;
	tag[0] = VALUE(__u16, op, 0);
	tag[1] = copied;
	places->tags++;
	sluice_move_places(places, 4);
	return true;
}

static __always_inline bool pop_vlan(struct xdp_md *ctx, struct sluice_places *places)
{
	if (!move_addresses(ctx, 4))
		return false;
	places->tags--;
	sluice_move_places(places, -4);
	return true;
}

static __always_inline bool set_tag(struct xdp_md *ctx, const struct sluice_op *op)
{
	void *bytes = frame_bytes(ctx, 14, 2);

	if (!bytes)
		return false;
	REPLACE(__u16, bytes, VALUE(__u16, op, 0), MASK(__u16, op, 0) & TAG_BITS);
	return true;
}

/* Carries out one operation that rewrites; 0 when the kernel did not let the frame be changed. By itself, as sluice_fits_op is. */
__noinline int sluice_xdp_apply(struct xdp_md *ctx, const struct sluice_op *op, struct sluice_places *places)
{
	if (!op || !places)
		return false;
	switch (op->code) {
	case SLUICE_OP_DEC_TTL:
		return decrement_ttl(ctx, places);
	case SLUICE_OP_VLAN_TCI:
		return set_tag(ctx, op);
	case SLUICE_OP_PUSH_VLAN:
		return push_vlan(ctx, places, op);
	case SLUICE_OP_POP_VLAN:
		return pop_vlan(ctx, places);
	default:
		return set_field(ctx, op, places);
	}
}

/*
 * Rewrites a frame that the program fits.
 * Returns the port that it goes to, SLUICE_PORTS when it goes nowhere, or -1 when the kernel did not let the frame be changed.
 */
static __noinline int sluice_rewrite(struct xdp_md *ctx, const struct sluice_program *program, const struct sluice_shape *shape)
{
	__u32 l3 = 14 + 4 * shape->tags;
	__u8 *first = frame_bytes(ctx, l3, 1);
	struct sluice_places places = sluice_places(shape, l3, first ? *first : 0);

	for (__u32 i = 0; i < SLUICE_PROGRAM_OPS; i++) {
		const struct sluice_op *op = &program->ops[i];

		if (i >= program->count)
			break;
		if (op->code == SLUICE_OP_OUTPUT)
			return op->port;
		if (!sluice_xdp_apply(ctx, op, &places))
			return -1;
	}
	return SLUICE_PORTS;
}

static __always_inline int sluice_xdp_dry_output(struct xdp_md *ctx, __u32 port)
{
	__u64 length = frame_length(ctx);
	struct sluice_dry_output *output = bpf_ringbuf_reserve(&sluice_dry, sizeof(*output) + SLUICE_DRY_BYTES, 0);

	if (!output)
		return SLUICE_DRY_UP;
	output->port = port;
	output->length = length;
	/* The compiler shall not compare the pointers instead, which tells the verifier nothing about their difference. */
	asm volatile("" : "+r"(length));
	if (length > SLUICE_DRY_BYTES)
		length = SLUICE_DRY_BYTES;
	if (length > 0)
		bpf_xdp_load_bytes(ctx, 0, output->bytes, length);
	bpf_ringbuf_submit(output, 0);
	return SLUICE_DRY_DONE;
}

/*
 * Sends a frame out of a port that takes it. SLUICE_XDP_UP, with nothing counted, when the port's device was taken away since that was seen:
 * XDP's own fallback would drop the frame.
 */
static __always_inline int sluice_xdp_output(struct xdp_md *ctx, __u32 port)
{
	__u64 length = frame_length(ctx);

	if (!sluice_config.dry && bpf_redirect_map(&sluice_devmap, port, XDP_DROP) != XDP_REDIRECT)
		return SLUICE_XDP_UP;
	sluice_count_out(port, 1, length);
	return sluice_config.dry ? sluice_xdp_dry_output(ctx, port) : XDP_REDIRECT;
}

/* Drops a frame; `reason` is enum sluice_drop_reason. */
static __always_inline int sluice_xdp_drop(struct xdp_md *ctx, __u32 reason)
{
	if (sluice_config.dry)
		return SLUICE_DRY_DONE;
	sluice_sample(ctx, reason, frame_length(ctx));
	return XDP_DROP;
}

/* Leaves a frame to the tc program of this port, if there is one. */
static __always_inline int sluice_xdp_to_tc(struct xdp_md *ctx)
{
	__u32 *mark;

	if (!sluice_config.uplink)
		return SLUICE_XDP_UP;
	if (sluice_config.dry)
		return SLUICE_XDP_TO_TC;
	/* Not every driver has room for metadata: its frames go to the worker. */
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*mark)))
		return SLUICE_XDP_UP;
	mark = (void *)(long)ctx->data_meta;
	if ((void *)(mark + 1) > (void *)(long)ctx->data)
		return SLUICE_XDP_UP;
	*mark = SLUICE_TO_TC;
	return SLUICE_XDP_TO_TC;
}

/* Carries a program out: everything but its counting. */
static __always_inline int sluice_xdp_program(struct xdp_md *ctx, struct sluice_slot *slot, const struct sluice_packet *packet)
{
	__u64 length = frame_length(ctx);
	__u32 index = slot->flow.program;
	const struct sluice_program *program = bpf_map_lookup_elem(&sluice_programs, &index);
	struct sluice_shape shape = sluice_shape(packet);
	int port, verdict;

	if (!program)
		return SLUICE_XDP_UP;
	switch (sluice_fits_program(program, &shape, length, true)) {
	case SLUICE_FITS:
		break;
	case SLUICE_FOR_TC:
		return sluice_xdp_to_tc(ctx);
	default:
		return SLUICE_XDP_UP;
	}
	sluice_count_flow(slot, 1, length);
	sluice_count_in(1, length, false);
	port = sluice_rewrite(ctx, program, &shape);
	if (port < 0) {
		sluice_count_lost(1);
		return sluice_xdp_drop(ctx, SLUICE_DROP_OUTPUT);
	}
	if (port >= SLUICE_PORTS)
		return sluice_xdp_drop(ctx, SLUICE_DROP_FLOW);
	verdict = sluice_xdp_output(ctx, port);
	if (verdict != SLUICE_XDP_UP)
		return verdict;
	/* Rewritten already, so it is nothing that the worker could look up. */
	sluice_count_lost(1);
	return sluice_xdp_drop(ctx, SLUICE_DROP_OUTPUT);
}

/*
 * Answers a frame by its flow: the verdict, or SLUICE_XDP_UP or SLUICE_XDP_TO_TC. A global function, which the verifier looks at once by itself:
 * what it knows of the frame after the policy would otherwise multiply with everything here.
 */
__noinline int sluice_xdp_flow(struct xdp_md *ctx)
{
	__u64 length = frame_length(ctx);
	const struct sluice_port *port = sluice_port_at(sluice_config.port);
	struct sluice_packet packet;
	struct sluice_slot *slot;
	__u32 out;
	int verdict;

	if (!port->mask_count)
		return SLUICE_XDP_UP;
	if (!sluice_parse(ctx, length, bpf_htonl(port->number), 0, &packet))
		return SLUICE_XDP_UP;
	slot = sluice_find(&packet, port);
	if (!slot || !sluice_is_active(slot))
		return SLUICE_XDP_UP;
	switch (slot->flow.answer) {
	case SLUICE_ANSWER_OUTPUT:
		out = slot->flow.port;
		switch (sluice_fits_port(sluice_port_at(out), length, true)) {
		case SLUICE_FITS:
			verdict = sluice_xdp_output(ctx, out);
			if (verdict != SLUICE_XDP_UP) {
				sluice_count_flow(slot, 1, length);
				sluice_count_in(1, length, false);
			}
			return verdict;
		case SLUICE_FOR_TC:
			return sluice_xdp_to_tc(ctx);
		default:
			return SLUICE_XDP_UP;
		}
	case SLUICE_ANSWER_DROP:
		sluice_count_flow(slot, 1, length);
		sluice_count_in(1, length, true);
		return sluice_xdp_drop(ctx, SLUICE_DROP_FLOW);
	case SLUICE_ANSWER_PROGRAM:
		return sluice_xdp_program(ctx, slot, &packet);
	default:
		return SLUICE_XDP_UP;
	}
}

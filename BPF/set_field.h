/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * set_field.h: which bytes of a packet an operation of a program sets. How they are set is the hook's.
 *
 * Needs:      before it is included, a hook's own set_mac, set_ipv4, set_ipv6, set_l3_word and set_port, which keep checksums right.
 * Invariants: the packet fits the operation (sluice_fits_op).
 */
#pragma once

#include "flow.h"

static __always_inline bool set_tos(struct SLUICE_CONTEXT *ctx, const struct sluice_places *places, __u32 value, __u32 mask)
{
	if (places->version == 4)
		return set_l3_word(ctx, places, 0, bpf_htons(value), bpf_htons(mask));
	return set_l3_word(ctx, places, 0, bpf_htons(value << 4), bpf_htons(mask << 4));
}

static __always_inline bool set_ttl(struct SLUICE_CONTEXT *ctx, const struct sluice_places *places, __u32 value, __u32 mask)
{
	if (places->version == 4)
		return set_l3_word(ctx, places, 8, bpf_htons(value << 8), bpf_htons(mask << 8));
	return set_l3_word(ctx, places, 6, bpf_htons(value), bpf_htons(mask));
}

/* Where the TTL or hop limit is, from the beginning of the network header. */
static __always_inline __u32 ttl_offset(const struct sluice_places *places) { return places->version == 4 ? 8 : 7; }

/* Sets a field in place; false when the kernel did not let the packet be changed. Any other operation is none of its own. */
static __always_inline bool set_field(struct SLUICE_CONTEXT *ctx, const struct sluice_op *op, const struct sluice_places *places)
{
	switch (op->code) {
	case SLUICE_OP_ETH_DST:
		return set_mac(ctx, 0, op);
	case SLUICE_OP_ETH_SRC:
		return set_mac(ctx, 6, op);
	case SLUICE_OP_IPV4_SRC:
		return set_ipv4(ctx, places, 12, op);
	case SLUICE_OP_IPV4_DST:
		return set_ipv4(ctx, places, 16, op);
	case SLUICE_OP_IPV6_SRC:
		return set_ipv6(ctx, places, 8, op);
	case SLUICE_OP_IPV6_DST:
		return set_ipv6(ctx, places, 24, op);
	case SLUICE_OP_IP_TOS:
		return set_tos(ctx, places, op->value[0], op->mask[0]);
	case SLUICE_OP_IP_TTL:
		return set_ttl(ctx, places, op->value[0], op->mask[0]);
	case SLUICE_OP_TP_SRC:
		return set_port(ctx, places, 0, op);
	case SLUICE_OP_TP_DST:
		return set_port(ctx, places, 2, op);
	}
	return true;
}

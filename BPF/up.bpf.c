/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * up.bpf.c: the far end of the way from tc to the worker.
 *
 * What:       tc sends packets into a veth pair with a header in front that names the port; here, at the other end, they go to the AF_XDP
 *             socket of the queue. The kernel has segmented them and completed their checksums on the way.
 * Invariants: only frames with our header pass; whatever else the host sends into the pair is dropped.
 * Cost:       one comparison and one look-up.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1); /* the interface's number of queues, set before loading */
	__type(key, __u32);
	__type(value, __u32);
} sluice_up_xsks SEC(".maps");

SEC("xdp")
int sluice_up(struct xdp_md *ctx)
{
	const __u8 mark[6] = SLUICE_UP_MARK;
	struct sluice_up_header *header = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	/* Behind the header is a frame: at least its own Ethernet header. */
	if ((void *)header + sizeof(*header) + 14 > end)
		return XDP_DROP;
	for (int i = 0; i < 6; i++)
		if (header->mark[i] != mark[i])
			return XDP_DROP;
	if (header->type != bpf_htons(SLUICE_UP_ETHERTYPE))
		return XDP_DROP;
	return bpf_redirect_map(&sluice_up_xsks, ctx->rx_queue_index, XDP_DROP);
}

char _license[] SEC("license") = "GPL";

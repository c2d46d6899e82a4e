/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * container.bpf.c: what tc does with a packet that a container sends, and with what XDP on an uplink leaves to it.
 *
 * What:       on a container's veth: a packet that has a flow is answered by it, everything else goes up to the worker through the upcall
 *             pair. Behind XDP on an uplink: only what XDP marked, which has a flow that XDP cannot carry out; the rest is the host's.
 * Instances:  one per port, specialised by `sluice_config` as the XDP program is; the flow table is one for all.
 * Invariants: a packet leaves as the worker would send it, byte for byte, after the kernel has segmented it and completed its checksums.
 * Threads:    on every CPU at once, in the softirq of whoever sends.
 */
#include <linux/bpf.h>

#include "tc_flow.h"

/* XDP wrote four bytes of metadata in front of the frame: it is for us. */
static __always_inline bool is_marked(struct __sk_buff *skb)
{
	__u32 *mark = (void *)(long)skb->data_meta;

	return (void *)(mark + 1) <= (void *)(long)skb->data && *mark == SLUICE_TO_TC;
}

SEC("tc")
int sluice_tc(struct __sk_buff *skb)
{
	int verdict;

	if (sluice_config.uplink && !sluice_config.dry && !is_marked(skb))
		return TC_ACT_OK;
	verdict = sluice_tc_flow(skb);
	return verdict == SLUICE_TC_UP ? sluice_tc_up(skb) : verdict;
}

char _license[] SEC("license") = "GPL";

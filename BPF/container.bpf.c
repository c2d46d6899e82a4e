/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * container.bpf.c: what tc does with a packet that arrives on a port of the switch.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "maps.h"

SEC("tc")
int sluice_tc(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "GPL";

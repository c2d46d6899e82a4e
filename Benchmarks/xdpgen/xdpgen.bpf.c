// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//
// xdpgen.bpf.c: the kernel's half of the veth benchmark: a generator and a sink.
//
// The generator is run by BPF_PROG_TEST_RUN on "live frames": the kernel makes frames out of a template, runs the program on
// each, and sends them where it redirects, about as fast as a core can. The sink counts and drops what arrives.
// Threads: each CPU has its own slot of `state`; user space sums them.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// Set by user space before loading.
const volatile __u32 out_ifindex = 0;
const volatile __u32 flow_count = 1;

struct slot {
	__u64 packets;
	__u64 seed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} state SEC(".maps");

// Offsets in an Ethernet frame with an option-less IPv4 header and UDP.
enum { UDP_SOURCE = 34, UDP_DESTINATION = 36, UDP_END = 42 };

static __always_inline struct slot *own_slot(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&state, &zero);
}

// A flow is told by its two UDP ports alone, so no checksum changes: the template's UDP checksum is 0, "none".
SEC("xdp")
int generate(struct xdp_md *context)
{
	unsigned char *frame = (void *)(long)context->data;
	unsigned char *end = (void *)(long)context->data_end;
	struct slot *slot = own_slot();

	if (!slot || frame + UDP_END > end)
		return XDP_ABORTED;
	slot->packets++;
	// Knuth's MMIX generator; its upper bits are the good ones.
	slot->seed = slot->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	__u32 flow = (__u32)(((slot->seed >> 33) * flow_count) >> 31);
	__u32 source = 1024 + (flow & 0x7fff), destination = 1024 + (flow >> 15);

	frame[UDP_SOURCE] = source >> 8;
	frame[UDP_SOURCE + 1] = source;
	frame[UDP_DESTINATION] = destination >> 8;
	frame[UDP_DESTINATION + 1] = destination;
	return bpf_redirect(out_ifindex, 0);
}

SEC("xdp")
int sink(struct xdp_md *context)
{
	struct slot *slot = own_slot();

	if (slot)
		slot->packets++;
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//
// xdpgen.bpf.c: the kernel's half of the benchmarks on veth: a generator, a sink, and the barest programs that redirect and drop.
//
// The generator is run by BPF_PROG_TEST_RUN on "live frames": the kernel makes frames out of a template, runs the program on
// each, and sends them where it redirects, about as fast as a core can. The sink counts and drops what arrives.
// Threads: each CPU has its own slot of `state`; user space sums them.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// Set by user space before loading.
const volatile __u32 out_ifindex = 0;
const volatile __u32 flow_count = 1;
const volatile __u32 source_count = 1;
// The IP header's checksum without the source address.
const volatile __u32 template_checksum = 0;

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
enum { IP = 14, IP_CHECKSUM = 24, IP_SOURCE = 26, UDP_SOURCE = 34, UDP_DESTINATION = 36, UDP_END = 42 };

static __always_inline struct slot *own_slot(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&state, &zero);
}

// Where the bare redirection sends to.
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

// The template's source address is 0.0.0.0 in its checksum: 10.0.0.0 and 16 bits of the number are added to it.
static __always_inline void set_source(unsigned char *frame, __u32 number)
{
	__u32 sum = (frame[IP_CHECKSUM] << 8 | frame[IP_CHECKSUM + 1]) ^ 0xffff;

	frame[IP_SOURCE] = 10;
	frame[IP_SOURCE + 1] = number >> 16;
	frame[IP_SOURCE + 2] = number >> 8;
	frame[IP_SOURCE + 3] = number;
	sum += (10 << 8 | (number >> 16 & 0xff)) + (number & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ((sum & 0xffff) + (sum >> 16)) ^ 0xffff;
	frame[IP_CHECKSUM] = sum >> 8;
	frame[IP_CHECKSUM + 1] = sum;
}

// A flow is told by its two UDP ports, whose change needs no checksum: the template's UDP checksum is 0, "none". The kernel recycles
// frames as they were left, so the IP checksum of the template is put back before the next source is added to it.
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

	if (source_count > 1) {
		frame[IP_CHECKSUM] = template_checksum >> 8;
		frame[IP_CHECKSUM + 1] = template_checksum;
		set_source(frame, (__u32)(((slot->seed & 0x7fffffff) * source_count) >> 31) + 1);
	}
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

// Redirects everything, looking at nothing: what no switch can be faster than.
SEC("xdp")
int redirect(struct xdp_md *context)
{
	return bpf_redirect_map(&out, 0, 0);
}

// Reads an IPv4 frame of at least so many bytes as far as the addresses, and counts it.
static __always_inline int is_read(struct xdp_md *context, unsigned int bytes)
{
	unsigned char *frame = (void *)(long)context->data;
	unsigned char *end = (void *)(long)context->data_end;
	struct slot *slot = own_slot();

	if (!slot || frame + bytes > end || frame[12] != 8 || frame[13] != 0)
		return 0;
	slot->packets++;
	slot->seed += *(__u32 *)(frame + IP_SOURCE);
	return 1;
}

// Redirects everything, but reads the headers first, as any switch has to: on veth they lie in the cache of the CPU that sent them.
SEC("xdp")
int forward(struct xdp_md *context)
{
	return is_read(context, UDP_END) ? bpf_redirect_map(&out, 0, 0) : XDP_PASS;
}

// Reads as far as the IPv4 addresses, as any filter has to, and drops.
SEC("xdp")
int drop(struct xdp_md *context)
{
	return is_read(context, UDP_SOURCE) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";

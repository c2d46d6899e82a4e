/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * uplink.bpf.c: what XDP does with a frame that arrives on a port of the switch.
 *
 * What:       drop what the policy (policy.h) denies, leave to the host what belongs to the host (shared ports), carry out what a flow of the
 *             table says (xdp_flow.h), hand the rest to the AF_XDP socket of the queue it arrived on.
 * Instances:  the program is loaded once per port, specialised by `sluice_config`; code that the configuration rules out is
 *             removed by the verifier. The policy and the flow table are one for all instances, all other maps belong to the instance.
 * Invariants: only a flow changes a frame; every frame is counted under one verdict, or as a flow's; nothing is read beyond the frame.
 * Threads:    runs on every CPU at once in the kernel's receive path; counters are per CPU, those of the policy's entries in shards.
 * Cost:       dedicated port without policy and flows: no look-up but the socket's and the counter's. policy.h and flow.h have theirs. Shared
 *             port: one array look-up per untagged frame, and one hash look-up per ARP or neighbour solicitation that is not unicast.
 */
#include <linux/bpf.h>
#include <stdbool.h>

#include "xdp_flow.h"
#include "policy.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1); /* the port's number of queues, set before loading */
	__type(key, __u32);
	__type(value, __u32);
} sluice_xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLUICE_COUNTS);
	__type(key, __u32);
	__type(value, struct sluice_counter);
} sluice_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_host_mac);
} sluice_host_mac SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SLUICE_HOST_ADDRESSES);
	__type(key, struct sluice_host_v4);
	__type(value, __u8);
} sluice_host_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SLUICE_HOST_ADDRESSES);
	__type(key, struct sluice_host_v6);
	__type(value, __u8);
} sluice_host_v6 SEC(".maps");

/* What the program learnt about a frame. Pointers are into the frame; NULL where it has no such header. */
struct frame {
	__u64 length;
	struct cursor cursor;
	struct ethernet *ethernet;
	__be16 type;	/* EtherType behind the tags */
	__u32 tags;
	bool malformed;
};

static __always_inline void count(__u32 index, __u64 bytes)
{
	struct sluice_counter *counter = bpf_map_lookup_elem(&sluice_counters, &index);

	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

/* Walks over Ethernet and up to MAX_TAGS tags. A further tag is malformed here, and user space names the reason. */
static __always_inline void read_ethernet(struct frame *frame)
{
	frame->ethernet = TAKE(&frame->cursor, struct ethernet);
	if (!frame->ethernet) {
		frame->malformed = true;
		return;
	}
	frame->type = frame->ethernet->type;
#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		struct vlan_tag *tag;

		if (!is_tag(frame->type))
			return;
		tag = TAKE(&frame->cursor, struct vlan_tag);
		if (!tag) {
			frame->malformed = true;
			return;
		}
		frame->type = tag->type;
		frame->tags++;
	}
	if (is_tag(frame->type))
		frame->malformed = true;
}

/*
 * Reads IPv4 and says why the policy drops it, or 0. The source counts as soon as it is inside the frame, whatever lies behind it,
 * so that a packet cannot slip past the policy by being malformed.
 */
static __always_inline __u32 read_ipv4(struct frame *frame, const struct sluice_policy *policy)
{
	struct ipv4 *ip = frame->cursor.next;
	__u64 available = frame->cursor.end - frame->cursor.next;
	__u32 header_length, total_length, reason;

	if ((void *)(ip + 1) > frame->cursor.end || ip->version_and_length >> 4 != 4) {
		frame->malformed = true;
		return 0;
	}
	if (policy) {
		reason = sluice_policy_v4(policy, ip, frame->cursor.end, frame->length);
		if (reason)
			return reason;
	}
	header_length = (ip->version_and_length & 0xf) * 4;
	total_length = bpf_ntohs(ip->total_length);
	if (header_length < sizeof(*ip) || total_length < header_length || total_length > available)
		frame->malformed = true;
	return 0;
}

/* The same for IPv6. */
static __always_inline __u32 read_ipv6(struct xdp_md *ctx, struct frame *frame, const struct sluice_policy *policy)
{
	struct ipv6 *ip = frame->cursor.next;
	__u64 available = frame->cursor.end - frame->cursor.next;
	__u32 reason;

	if ((void *)(ip + 1) > frame->cursor.end || ip->version_and_class >> 4 != 6) {
		frame->malformed = true;
		return 0;
	}
	if (policy) {
		reason = sluice_policy_v6(
			ctx, policy, ip, sizeof(struct ethernet) + frame->tags * sizeof(struct vlan_tag), frame->length);
		if (reason)
			return reason;
	}
	if (bpf_ntohs(ip->payload_length) + sizeof(*ip) > available)
		frame->malformed = true;
	return 0;
}

/*
 * Counts, samples and says so, if this is an untagged IPv4 packet of a denied host. Headers are read as far as `checked` reads them before it
 * asks the policy, which decides about all other packets; but as whole words, which their types would have the compiler load byte by byte.
 * Not inline, for the same reason as `checked`.
 */
static __noinline int is_from_denied_host(struct xdp_md *ctx)
{
	void *start = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ipv4 *ip = start + sizeof(struct ethernet);
	__u64 length = end - start;

	if (!(sluice_policy.use & SLUICE_USE_DENY_V4_NARROW) || (void *)(ip + 1) > end ||
	    *(__be16 *)(start + __builtin_offsetof(struct ethernet, type)) != bpf_htons(ETHERTYPE_IPV4) ||
	    ip->version_and_length >> 4 != 4 || !sluice_is_denied_host(bpf_ntohl(*(__be32 *)(void *)ip->source), length))
		return false;
	count(SLUICE_COUNT_DENIED_V4, length);
	sluice_sample(ctx, SLUICE_DROP_DENY_PREFIX, length);
	return true;
}

/* Counts a drop by the policy, and samples it. */
static __always_inline int drop(struct xdp_md *ctx, const struct frame *frame, __u32 reason)
{
	__u32 denied = frame->type == bpf_htons(ETHERTYPE_IPV4) ? SLUICE_COUNT_DENIED_V4 : SLUICE_COUNT_DENIED_V6;

	if (reason == SLUICE_DROP_LIMIT)
		denied = SLUICE_COUNT_LIMITED;
	else if (reason != SLUICE_DROP_DENY_PREFIX)
		denied = SLUICE_COUNT_DENIED_TUPLE;
	count(denied, frame->length);
	sluice_sample(ctx, reason, frame->length);
	return XDP_DROP;
}

static __always_inline bool is_host_mac(const __u8 *mac)
{
	__u32 zero = 0;
	struct sluice_host_mac *host = bpf_map_lookup_elem(&sluice_host_mac, &zero);

	if (!host || !host->known)
		return false;
	return host->address[0] == mac[0] && host->address[1] == mac[1] && host->address[2] == mac[2] &&
	       host->address[3] == mac[3] && host->address[4] == mac[4] && host->address[5] == mac[5];
}

/* ARP that asks for, or tells something to, an address of the host. */
static __always_inline bool is_arp_for_host(struct frame *frame)
{
	struct cursor cursor = frame->cursor;
	struct arp *arp = TAKE(&cursor, struct arp);
	struct sluice_host_v4 key;

	if (!arp) {
		frame->malformed = true;
		return false;
	}
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETHERTYPE_IPV4) || arp->hardware_length != 6 ||
	    arp->protocol_length != 4)
		return false;
	__builtin_memcpy(key.address, arp->target, sizeof(key.address));
	return bpf_map_lookup_elem(&sluice_host_v4, &key);
}

/* A neighbour solicitation for an address of the host; they come as multicast to 33:33:ff:... (solicited-node). */
static __always_inline bool is_solicitation_of_host(struct frame *frame)
{
	struct cursor cursor = frame->cursor;
	struct ipv6 *ip = TAKE(&cursor, struct ipv6);
	struct neighbour_solicitation *solicitation;
	struct sluice_host_v6 key;

	if (!ip || ip->next_header != IP_PROTOCOL_ICMPV6)
		return false;
	solicitation = TAKE(&cursor, struct neighbour_solicitation);
	if (!solicitation || solicitation->type != ICMPV6_NEIGHBOUR_SOLICITATION)
		return false;
	__builtin_memcpy(key.address, solicitation->target, sizeof(key.address));
	return bpf_map_lookup_elem(&sluice_host_v6, &key);
}

/*
 * On a shared port the host keeps what is addressed to the interface's own MAC, and the questions without whose answer nobody
 * finds it: ARP and neighbour solicitations for its addresses. Tagged frames, and every other multicast and broadcast, are the
 * switch's.
 */
static __always_inline bool belongs_to_host(struct frame *frame)
{
	if (!frame->ethernet || frame->tags || is_tag(frame->type))
		return false;
	if (!(frame->ethernet->destination[0] & 1) && is_host_mac(frame->ethernet->destination))
		return true;
	if (frame->type == bpf_htons(ETHERTYPE_ARP))
		return is_arp_for_host(frame);
	if (frame->type == bpf_htons(ETHERTYPE_IPV6) && frame->ethernet->destination[0] & 1)
		return is_solicitation_of_host(frame);
	return false;
}

/* bpf_redirect_map looks the socket up at once and returns its fallback when there is none, so counting that costs nothing. */
static __always_inline int to_switch(struct xdp_md *ctx, __u64 length)
{
	__u64 fallback = sluice_config.shared ? XDP_PASS : XDP_DROP;
	long verdict;

	if (sluice_config.dry)
		return SLUICE_DRY_UP;
	verdict = bpf_redirect_map(&sluice_xsks, ctx->rx_queue_index, fallback);
	count(verdict == XDP_REDIRECT ? SLUICE_COUNT_REDIRECTED : SLUICE_COUNT_NO_SOCKET, length);
	if (verdict == XDP_DROP)
		sluice_sample(ctx, SLUICE_DROP_NO_SOCKET, length);
	return verdict;
}

/* What the switch decides about a frame. */
static __always_inline int switched(struct xdp_md *ctx, __u64 length)
{
	int verdict;

	if (!sluice_config.flows)
		return SLUICE_XDP_UP;
	verdict = sluice_xdp_flow(ctx);
	if (verdict != SLUICE_XDP_TO_TC)
		return verdict;
	count(SLUICE_COUNT_TO_TC, length);
	return sluice_config.dry ? SLUICE_DRY_PASS : XDP_PASS;
}

/*
 * Walks over the headers: says what the policy drops (NULL: there is none) and what is the host's; -1: neither. Not inline, because what it
 * keeps on the stack would leave too little for the flow's program.
 */
static __noinline int checked(struct xdp_md *ctx, struct frame *frame, const struct sluice_policy *policy)
{
	__u32 reason = 0;

	read_ethernet(frame);
	if (frame->ethernet && frame->type == bpf_htons(ETHERTYPE_IPV4))
		reason = read_ipv4(frame, policy);
	else if (frame->ethernet && frame->type == bpf_htons(ETHERTYPE_IPV6))
		reason = read_ipv6(ctx, frame, policy);
	if (sluice_config.deny && reason)
		return drop(ctx, frame, reason);
	if (sluice_config.shared && belongs_to_host(frame)) {
		if (frame->malformed)
			count(SLUICE_COUNT_MALFORMED, frame->length);
		count(SLUICE_COUNT_TO_HOST, frame->length);
		return XDP_PASS;
	}
	return -1;
}

SEC("xdp")
int sluice_xdp(struct xdp_md *ctx)
{
	void *start = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct frame frame = {
		.length = end - start,
		.cursor = { .next = start, .end = end },
	};
	/* With neither a policy nor a host, the walk only tells malformed frames, and a frame that has a flow is none. */
	bool first = sluice_config.shared || (sluice_config.deny && sluice_policy.use);
	int verdict;

	if (sluice_config.deny && is_from_denied_host(ctx))
		return XDP_DROP;
	if (first) {
		verdict = checked(ctx, &frame, sluice_config.deny ? &sluice_policy : NULL);
		if (verdict >= 0)
			return verdict;
	}
	verdict = switched(ctx, frame.length);
	if (verdict >= 0)
		return verdict;
	if (!first) {
		/* The helpers that were perhaps called meanwhile make the pointers from before invalid. */
		frame.cursor.next = (void *)(long)ctx->data;
		frame.cursor.end = (void *)(long)ctx->data_end;
		checked(ctx, &frame, NULL);
	}
	if (frame.malformed)
		count(SLUICE_COUNT_MALFORMED, frame.length);
	return to_switch(ctx, frame.length);
}

char _license[] SEC("license") = "GPL";

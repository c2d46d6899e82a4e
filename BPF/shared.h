/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * shared.h: the one ABI between the BPF programs and Swift.
 *
 * What:       layouts of map keys and values, the program's configuration, the counters' indices, names and sizes.
 * Invariants: every struct has a fixed size without implicit padding, checked below; both sides are compiled from this file,
 *             clang -target bpf for the programs and Swift's C importer (through sluice_bpf.h) for KernelTier.
 * Byte order: addresses and MACs lie as they do in a frame; everything else is native.
 */
#pragma once

#include <linux/types.h>

#include "hash.h"
#include "policy_abi.h"

/* The programs' names: how a leftover of a crashed agent is recognised. The kernel keeps 15 characters. */
#define SLUICE_XDP_PROGRAM "sluice_xdp"
#define SLUICE_TC_PROGRAM "sluice_tc"
#define SLUICE_UP_PROGRAM "sluice_up"

/* Addresses of the host that a shared port knows, per family. */
#define SLUICE_HOST_ADDRESSES 1024

/* What a program is specialised to before it is loaded. It is constant then, and the verifier removes what it rules out. */
struct sluice_port_config {
	/* 1: the host keeps what belongs to it (shared port); 0: the switch gets every frame (dedicated port). */
	__u32 shared;
	/* 1: the early drop policy (policy.h) applies, and drops are sampled as it says; 0: there is none. */
	__u32 deny;
	/* 1: packets are looked up in the flow table; 0: there is none, and what follows means nothing. */
	__u32 flows;
	/* Index of the port that the program is on. */
	__u32 port;
	/* 1: XDP and tc are both on this port; XDP marks what it leaves to tc, and tc touches nothing else. */
	__u32 uplink;
	/* 1: nothing is sent; outputs go to the ring buffer and the return value is an enum sluice_dry_verdict. */
	__u32 dry;
	/* tc: the interface that leads to the worker; 0: none, and what would go there is dropped. */
	__u32 up_ifindex;
	/* Number of buckets - 1. */
	__u32 bucket_mask;
	struct sluice_hash_keys hash;
};

/*
 * Indices of the counters. Every frame is counted under exactly one verdict, so what was received is the sum of the verdicts.
 * MALFORMED is a note beside the verdict: such a frame goes on, and user space counts why it is wrong.
 */
enum sluice_count {
	SLUICE_COUNT_REDIRECTED = 0,	/* handed to the AF_XDP socket of its queue */
	SLUICE_COUNT_TO_HOST = 1,	/* belongs to the host */
	SLUICE_COUNT_DENIED_V4 = 2,	/* dropped: IPv4 source on the deny list */
	SLUICE_COUNT_DENIED_V6 = 3,	/* dropped: IPv6 source on the deny list */
	SLUICE_COUNT_NO_SOCKET = 4,	/* no socket on its queue: to the host on a shared port, dropped on a dedicated one */
	SLUICE_COUNT_MALFORMED = 5,	/* a header that the program reads does not fit or contradicts itself */
	SLUICE_COUNT_TO_TC = 6,		/* left to the tc program of the port; frames that XDP itself answers are in sluice_port_counts */
	SLUICE_COUNT_DENIED_TUPLE = 7,	/* dropped: a five-tuple that is denied, or that hides behind too many extension headers */
	SLUICE_COUNT_LIMITED = 8,	/* dropped: the source has used up its rate */
	SLUICE_COUNTS = 9,
};

/* One counter on one CPU. */
struct sluice_counter {
	__u64 packets;
	__u64 bytes;	/* whole frames as XDP sees them: without checksum (FCS) and without a tag that the NIC stripped */
};

/* The host's own MAC on a shared port. Eight bytes, so that the kernel replaces it in one store. */
struct sluice_host_mac {
	__u8 address[6];
	__u8 known;	/* 1 when set */
	__u8 reserved;	/* zero */
};

/* Keys of the host's addresses; the value is a __u8 that means nothing. */
struct sluice_host_v4 {
	__u8 address[4];
};

struct sluice_host_v6 {
	__u8 address[16];
};

/*
 * The flow table.
 *
 * A flow is a masked key of one or two lines (FlowKey.swift has the layout, which is also the programs': `struct sluice_line` is a
 * line of it), the number of its mask, and its answer. The agent is the only writer of slots, masks, programs and buckets, through
 * mappings of the arrays, without a system call per flow; programs write only a flow's `state` and its `struct sluice_flow_use`.
 *
 * Order of writing: a slot is complete before its tag is there; a tag is cleared before its slot or program is used again, with a
 * grace period of RCU in between (KernelTier's `fence`). So a program never sees half a flow.
 */

/* Changes whenever anything that is pinned changes its meaning: an agent adopts only what bears its own number. */
#define SLUICE_ABI 3

#define SLUICE_PORTS 1024		/* as many as a switch has (WorkerCounters.portCapacity) */
#define SLUICE_WORKERS 256
#define SLUICE_FLOWS 131072		/* that are held; the agent may choose another power of two */
#define SLUICE_SLOTS (2 * SLUICE_FLOWS)	/* so that few flows find their bucket full */
#define SLUICE_BUCKET_SLOTS 8
#define SLUICE_SAME_TAGS 4		/* of a bucket and the one beside, at most: programs look no further */
#define SLUICE_MASKS 256		/* the unused mask 0 included */
#define SLUICE_PORT_MASKS 16		/* masks that one port's packets are looked up with, the busiest first */
#define SLUICE_ACTION_PROGRAMS 4096	/* the unused program 0 included */
#define SLUICE_PROGRAM_OPS 16

/* What programs look at is one cache line for a mask of one line, and one more for line 1; the rest is for the agent. */
struct sluice_mask {
	__u64 words[SLUICE_WORDS];	/* of line 0, see hash.h */
	__u32 lines;			/* 1, or 3 when line 1 is in use; 0: no such mask */
	__u32 reserved;
	__u64 reserved2[2];
	__u64 words1[SLUICE_WORDS];	/* of line 1; zero for a mask of one line */
	__u64 reserved3[3];
	struct sluice_line line0;
	struct sluice_line line1;
};

enum sluice_answer {
	SLUICE_ANSWER_NONE = 0,
	SLUICE_ANSWER_DROP = 1,
	SLUICE_ANSWER_OUTPUT = 2,	/* unchanged, to one port */
	SLUICE_ANSWER_PROGRAM = 3,
};

enum sluice_flow_state {
	/* Its packets still go up, until the worker has sent those that went up before; so their order is kept. */
	SLUICE_FLOW_WAITING = 0,
	SLUICE_FLOW_ACTIVE = 1,
};

/* What programs read of a flow: a cache line. IPv6 has a second line of the key, in an array of its own under the same index. */
struct sluice_flow {
	__u64 key[SLUICE_WORDS];	/* words of line 0, masked; the others are zero */
	__u16 mask;		/* 0: matches nothing */
	__u8 answer;		/* enum sluice_answer */
	__u8 lines;		/* 1 or 3 */
	__u16 port;		/* ANSWER_OUTPUT: the port's index */
	__u16 in_port;		/* index of the ingress port */
	__u16 program;		/* ANSWER_PROGRAM */
	__u16 worker;		/* who handles its packets above */
	__u32 state;		/* enum sluice_flow_state */
	__u64 id;		/* the agent's number of the flow, for people */
};

/*
 * What programs write of a flow: the cache line behind it, so both are in one page.
 *
 * The first CPU that counts owns the counters `packets` and `bytes`, and adds to them without locking; the others add atomically to theirs.
 * A NIC gives all packets of a connection to one CPU, so the others are rare.
 */
struct sluice_flow_use {
	__u64 packets;		/* as on the wire: the segments of an unsegmented packet */
	__u64 bytes;
	__u64 other_packets;
	__u64 other_bytes;
	__u64 used;		/* ktime of the last packet; up to eight ticks of the kernel's clock early */
	__u32 ticks;		/* the time of `used` in units of eight ticks: the programs' way to tell whether it is worth reading the clock */
	__u32 owner;		/* number of the owning CPU + 1; 0: none yet */
	/* What decides when a waiting flow becomes active. */
	__u64 last_up;		/* ktime of the last packet that went up; the agent writes the time of placing */
	__u64 forced_at;	/* ktime from which it is active whether or not the worker was ever seen idle */
};

struct sluice_slot {
	struct sluice_flow flow;
	struct sluice_flow_use use;
};

/*
 * Eight slots that lie together; slot s is number s % 8 of bucket s / 8. Its tag is a byte of the hash, 0 when nothing is to be found there.
 * A flow is in the bucket that its hash names or, where that is full, in the one beside it (number ^ 1), whose tags are in the same cache
 * line. A byte for each slot keeps the tags of 131,072 flows in a second-level cache, so looking for what is not there costs no more.
 */
struct sluice_bucket {
	__u64 tags;
};

enum sluice_op_code {
	SLUICE_OP_END = 0,
	SLUICE_OP_OUTPUT = 1,		/* port */
	SLUICE_OP_ETH_DST = 2,		/* value, mask: 6 bytes */
	SLUICE_OP_ETH_SRC = 3,
	SLUICE_OP_VLAN_TCI = 4,		/* 2 bytes, of the outermost tag, in network order; bit 12 is no part of it */
	SLUICE_OP_IPV4_SRC = 5,		/* 4 bytes; checksums follow */
	SLUICE_OP_IPV4_DST = 6,
	SLUICE_OP_IPV6_SRC = 7,		/* 16 bytes; checksums follow */
	SLUICE_OP_IPV6_DST = 8,
	SLUICE_OP_IP_TOS = 9,		/* 1 byte: DSCP and ECN of IPv4 or IPv6 */
	SLUICE_OP_IP_TTL = 10,		/* 1 byte */
	SLUICE_OP_DEC_TTL = 11,
	SLUICE_OP_TP_SRC = 12,		/* 2 bytes: port of TCP, UDP; checksums follow */
	SLUICE_OP_TP_DST = 13,
	SLUICE_OP_PUSH_VLAN = 14,	/* value: 2 bytes TPID */
	SLUICE_OP_POP_VLAN = 15,
};

/* Bits of `value` outside `mask` are zero. */
struct sluice_op {
	__u8 code;
	__u8 reserved;
	__u16 port;
	__u32 reserved2;
	__u8 value[16];
	__u8 mask[16];
};

/* What a list of actions was compiled to. It does not change while a flow names it. */
struct sluice_program {
	__u32 count;
	__u16 flags;	/* enum sluice_program_flag */
	__u8 ttl;	/* the least TTL that its packets need: one more than it has OP_DEC_TTL; 0 without any. Others go up. */
	__u8 reserved;
	struct sluice_op ops[SLUICE_PROGRAM_OPS];
};

enum sluice_program_flag {
	/* XDP leaves packets of such a flow to tc: more than one output, say. */
	SLUICE_PROGRAM_TC_ONLY = 1,
};

enum sluice_port_hook {
	SLUICE_HOOK_XDP = 1,	/* it has our XDP program, and XDP may redirect to it (it is in the device map) */
	SLUICE_HOOK_TC = 2,	/* it has our tc program */
	SLUICE_HOOK_PEER = 4,	/* a container's veth: tc may redirect to its peer */
	SLUICE_HOOK_CLSACT = 8,	/* we made the qdisc that the tc program is on; for the agent, programs do not look at it */
};

/* A port, by its index. Written by the agent; an index that is not used is all zero. */
struct sluice_port {
	__u32 ifindex;
	__u32 number;		/* the OpenFlow number */
	__u32 hooks;		/* enum sluice_port_hook, a set */
	__u32 max_frame;	/* longest frame that may leave, in bytes without FCS */
	__u32 worker;		/* who handles its packets above; for the agent, programs do not look at it */
	__u8 peer_mac[6];	/* of the container's end, with HOOK_PEER */
	__u8 mask_count;
	__u8 is_up;
	__u8 masks[SLUICE_PORT_MASKS];	/* of flows that come in here */
	__u8 reserved[20];
};

/* A port's counters on one CPU. What goes up by XDP is in sluice_counters. */
struct sluice_port_count {
	__u64 in_packets;	/* that came in here and were answered by a flow */
	__u64 in_bytes;
	__u64 out_packets;	/* that a flow sent out here */
	__u64 out_bytes;
	__u64 drop_packets;	/* of those that came in: dropped because the flow says so */
	__u64 drop_bytes;
	__u64 lost_packets;	/* dropped although no flow says so: no way up, or the kernel did not let a packet be changed */
	__u64 up_packets;	/* sent up by tc */
};

/* What a worker tells the programs: it had found its queues empty when it began to look at this ktime. */
struct sluice_worker {
	__u64 drained;
};

/* A flow becomes active when its worker has found its queues empty so long after the last packet that went up: the way from the hook to the queue. */
#define SLUICE_UP_NANOSECONDS 200000

/*
 * In front of a frame that tc sends up through the upcall pair. A frame of its own to the kernel: the first twelve bytes are where
 * addresses are. Behind it is the frame as it was on the wire: a VLAN tag that the kernel kept beside the packet is in it again.
 */
struct sluice_up_header {
	__u8 mark[6];		/* SLUICE_UP_MARK */
	__u16 port;		/* index of the ingress port, native order */
	__u32 reserved;
	__be16 type;		/* SLUICE_UP_ETHERTYPE */
	__u16 reserved2;
};

#define SLUICE_UP_MARK { 0x02, 'S', 'L', 'U', 'P', SLUICE_ABI }
#define SLUICE_UP_ETHERTYPE 0x88b5	/* IEEE 802 local experimental */

/* What identifies a pinned table: in a map of one element. */
struct sluice_table_info {
	__u32 abi;		/* SLUICE_ABI */
	__u32 slots;
	__u64 secret[2];	/* of the hash */
};

/* What XDP writes in front of a frame that it leaves to the tc program of the same port (the four bytes of metadata). */
#define SLUICE_TO_TC 0x534c5443

/* What a program returns in a dry run. Other values are those of its hook: what is decided before flows are looked up. */
enum sluice_dry_verdict {
	SLUICE_DRY_UP = 64,	/* to the worker */
	SLUICE_DRY_PASS = 65,	/* XDP leaves it to tc; tc leaves it to the host */
	SLUICE_DRY_DONE = 66,	/* a flow's answer; outputs, if any, are in the ring */
};

/* What a decision in a dry run was: outputs are written to a ring buffer instead of being sent. */
struct sluice_dry_output {
	__u32 port;
	__u32 length;		/* of the frame; up to SLUICE_DRY_BYTES of it follow */
	__u8 bytes[];
};

#define SLUICE_DRY_BYTES 2048
#define SLUICE_DRY_RING 1048576	/* bytes of the ring buffer */

_Static_assert(sizeof(struct sluice_port_config) == 120, "ABI");
_Static_assert(sizeof(struct sluice_counter) == 16, "ABI");
_Static_assert(sizeof(struct sluice_host_mac) == 8, "ABI");
_Static_assert(sizeof(struct sluice_flow) == 64, "ABI");
_Static_assert(sizeof(struct sluice_flow_use) == 64, "ABI");
_Static_assert(sizeof(struct sluice_slot) == 128, "ABI");
_Static_assert(sizeof(struct sluice_bucket) == 8, "ABI");
_Static_assert(sizeof(struct sluice_mask) == 256, "ABI");
_Static_assert(sizeof(struct sluice_port_count) == 64, "ABI");
_Static_assert(sizeof(struct sluice_op) == 40, "ABI");
_Static_assert(sizeof(struct sluice_program) == 648, "ABI");
_Static_assert(sizeof(struct sluice_port) == 64, "ABI");
_Static_assert(sizeof(struct sluice_up_header) == 16, "ABI");
_Static_assert(sizeof(struct sluice_table_info) == 24, "ABI");

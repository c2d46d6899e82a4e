/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * policy_abi.h: the part of the ABI that the early drop policy needs: its table, its hints, and its events.
 *
 * What:       prefixes whose packets are dropped, five-tuples that are dropped, rates that sources are limited to, and a ring of samples
 *             of what was dropped. One policy serves all ports.
 * Invariants: as in shared.h. The agent is the only writer of keys and hints, through mappings of the arrays; programs write only
 *             counters and token buckets.
 * Order:      a slot's first word is written last and cleared first, so a program never sees half a key. An entry is in the table before a
 *             hint leads to it, and a hint goes after the entry: a hint too many costs a look-up, a hint too few lets a packet pass.
 */
#pragma once

#include <linux/types.h>

/* Changes whenever anything here that is pinned changes its meaning. */
#define SLUICE_POLICY_ABI 2

/* The table: open addressing, a slot is a cache line. */
#define SLUICE_POLICY_BITS 18
#define SLUICE_POLICY_SLOTS (1 << SLUICE_POLICY_BITS)
#define SLUICE_POLICY_CAPACITY 131072	/* entries of all kinds together: half of the slots, so that few lie far from their place */
#define SLUICE_POLICY_REACH 64		/* steps from its place that an entry may lie at most */
#define SLUICE_POLICY_STEP 16		/* slots of a step: neighbours (sluice_policy_place) get out of each other's way as strangers do */
#define SLUICE_POLICY_SHARDS 16		/* of counters, at most */
#define SLUICE_LIMITS 32768		/* rate limits among them */

/* What an entry is. */
enum sluice_policy_kind {
	SLUICE_KIND_DENY_V4 = 1,	/* prefixes */
	SLUICE_KIND_DENY_V6 = 2,
	SLUICE_KIND_LIMIT_V4 = 3,
	SLUICE_KIND_LIMIT_V6 = 4,
	SLUICE_KIND_TUPLE_V4 = 5,
	SLUICE_KIND_TUPLE_V6 = 6,
};

/* The fields that a five-tuple names; the others are zero in its key and may be anything in a packet. */
enum sluice_tuple_field {
	SLUICE_TUPLE_SOURCE = 1,
	SLUICE_TUPLE_DESTINATION = 2,
	SLUICE_TUPLE_PROTOCOL = 4,
	SLUICE_TUPLE_SOURCE_PORT = 8,
	SLUICE_TUPLE_DESTINATION_PORT = 16,
	SLUICE_TUPLE_SHAPES = 32,
};

/*
 * An entry. Its key is five words; numbers are in host order, so that masks are arithmetic:
 *   0  kind, then from bit 8 the length of a prefix or the fields of a tuple, from bit 16 the protocol, from bit 32 the source port, from
 *      bit 48 the destination port; 0: the slot is empty
 *   1  source: an IPv4 address, or the first half of an IPv6 one      2  the second half
 *   3  destination, likewise                                          4
 */
struct sluice_policy_slot {
	__u64 key[5];
	__u64 wrapped;		/* packets that went over the ends of its counters (struct sluice_policy_drops), added to atomically */
	__u64 reserved;
	__u32 beyond;		/* entries that passed over this slot on the way to theirs; 0 ends a search */
	__u32 limit;		/* of a limit: the index of its bucket */
};

/*
 * What one shard dropped for an entry: index (CPU & shard_mask) * SLUICE_POLICY_SLOTS + slot. A CPU has a shard of its own, so it counts by
 * plain additions; only where there are more CPUs than shards they are atomic.
 *
 * `host` repeats the address of a slot that denies a single IPv4 host, and is 0 in all others: most denials need nothing but this, a quarter
 * of a cache line, which four hosts side by side share. It is written after the slot and cleared before it. It is a short cut alone: what is
 * not found here is searched in the slots.
 */
struct sluice_policy_drops {
	__u32 host;
	__u32 packets;		/* when it comes back to 0, 2^32 are added to the slot's `wrapped` */
	__u64 bytes;
};

static inline __u64 sluice_policy_word(__u32 kind, __u32 detail, __u32 protocol, __u32 source_port, __u32 destination_port)
{
	return (__u64)kind | (__u64)detail << 8 | (__u64)protocol << 16 | (__u64)source_port << 32 | (__u64)destination_port << 48;
}

/*
 * The slot where a search for a key begins. The lowest four bits of the first source word choose among sixteen slots side by side: hosts of
 * one neighbourhood, of which lists are full, share lines of the counters.
 */
static inline __u32 sluice_policy_place(__u64 word0, __u64 word1, __u64 word2, __u64 word3, __u64 word4)
{
	__u64 hash = word0 * 0x9e3779b97f4a7c15ull + (word1 >> 4) * 0xc2b2ae3d27d4eb4full + word2 * 0x165667b19e3779f9ull +
		     word3 * 0xd6e8feb86659fd93ull + word4 * 0xff51afd7ed558ccdull;

	hash ^= hash >> 32;
	hash *= 0xc4ceb9fe1a85ec53ull;
	return hash >> (64 - SLUICE_POLICY_BITS) ^ (word1 & 15);
}

/* The slot to look at after this one. */
static inline __u32 sluice_policy_next(__u32 slot)
{
	return (slot + SLUICE_POLICY_STEP) & (SLUICE_POLICY_SLOTS - 1);
}

/*
 * The bucket of a rate limit: the generic cell rate algorithm. `due` is when the next packet would be due if the source kept exactly to
 * its rate; a packet passes if that is no further away than the tolerance. Times are in sixteenths of a nanosecond, so that rates of
 * tens of millions are exact enough.
 */
struct sluice_limit {
	__u64 due;
	__u64 interval;		/* of one packet */
	__u64 tolerance;	/* (burst - 1) * interval */
	__u64 packets;		/* passed */
	__u64 bytes;
	__u32 slot;		/* whose bucket this is */
	__u32 burst;
	__u64 rate;		/* packets per second, as was asked for */
	__u64 reserved;
};

#define SLUICE_LIMIT_TICKS 16	/* in a nanosecond */

/* How often a packet tries again to take a token when other CPUs take some at the same time; then it is dropped. */
#define SLUICE_LIMIT_ATTEMPTS 8

/*
 * Which prefix lengths are worth a look-up for an address: a bit for each length, the longest in the lowest bit. `wide` is indexed by
 * the address's first 16 bits, `narrow` by a hash of its first 24 (IPv4) or 32 (IPv6), so a packet costs a look-up for each length
 * that somebody near it has, mostly none or one, however many lengths the whole list has.
 */
#define SLUICE_HINT_V4_WIDE 65536
#define SLUICE_HINT_V4_NARROW 131072
#define SLUICE_HINT_V6_WIDE 65536
#define SLUICE_HINT_V6_NARROW 16384
#define SLUICE_HINT_V4_SPLIT 24		/* first length that is in `narrow` */
#define SLUICE_HINT_V6_SPLIT 32

struct sluice_hints {
	__u32 v4_wide[SLUICE_HINT_V4_WIDE];		/* lengths 0 to 23: bit 23 - length */
	__u16 v4_narrow[SLUICE_HINT_V4_NARROW];		/* lengths 24 to 32: bit 32 - length */
	__u32 v6_wide[SLUICE_HINT_V6_WIDE];		/* lengths 0 to 31: bit 31 - length */
	__u64 v6_narrow[SLUICE_HINT_V6_NARROW][2];	/* lengths 65 to 128: bit 128 - length of [0]; 32 to 64: bit 64 - length of [1] */
};

/* Where they begin, in bytes: Swift has no type for arrays of this size. */
enum {
	SLUICE_HINT_V4_NARROW_AT = 4 * SLUICE_HINT_V4_WIDE,
	SLUICE_HINT_V6_WIDE_AT = SLUICE_HINT_V4_NARROW_AT + 2 * SLUICE_HINT_V4_NARROW,
	SLUICE_HINT_V6_NARROW_AT = SLUICE_HINT_V6_WIDE_AT + 4 * SLUICE_HINT_V6_WIDE,
	SLUICE_HINTS_SIZE = SLUICE_HINT_V6_NARROW_AT + 16 * SLUICE_HINT_V6_NARROW,
};

/* Odd constant of the multiplicative hash; the index is the product's highest bits. */
#define SLUICE_HINT_FACTOR 0x9e3779b1u

static inline __u32 sluice_hint_v4(__u32 address)	/* host order */
{
	return ((address >> 8) * SLUICE_HINT_FACTOR) >> 15;
}

static inline __u32 sluice_hint_v6(__u32 first)	/* the first 32 bits, host order */
{
	return (first * SLUICE_HINT_FACTOR) >> 18;
}

/* Indices of the hints of each kind: together less than the 4 MB that older kernels take for one value. */
enum sluice_hints_of {
	SLUICE_HINTS_DENY = 0,
	SLUICE_HINTS_LIMIT = 1,
	SLUICE_HINTS = 2,
};

/* What is in use at all, a set: code for what is not in use costs one test for everything. */
enum sluice_policy_use {
	SLUICE_USE_DENY_V4_WIDE = 1,
	SLUICE_USE_DENY_V4_NARROW = 2,
	SLUICE_USE_DENY_V6_WIDE = 4,
	SLUICE_USE_DENY_V6_NARROW = 8,
	SLUICE_USE_LIMIT_V4_WIDE = 16,
	SLUICE_USE_LIMIT_V4_NARROW = 32,
	SLUICE_USE_LIMIT_V6_WIDE = 64,
	SLUICE_USE_LIMIT_V6_NARROW = 128,
	SLUICE_USE_TUPLE_V4 = 256,
	SLUICE_USE_TUPLE_V6 = 512,
};

/* What every program reads first. */
struct sluice_policy {
	__u32 use;		/* enum sluice_policy_use, a set */
	__u32 sample;		/* one of so many drops becomes an event; 0: none */
	__u32 shapes_v4;	/* bit n: there are five-tuples that name the fields n (enum sluice_tuple_field) */
	__u32 shapes_v6;
	__u32 sample_limit;	/* events of one CPU in a tenth of a second, at most */
	__u16 shard_mask;	/* shards of the counters of drops, a power of two, - 1 */
	__u16 is_atomic;	/* 1: there are more CPUs than shards */
	__u64 test_time;	/* what programs take for the time if it is not 0; for tests alone */
};

/* Why a packet was dropped, in events. */
enum sluice_drop_reason {
	SLUICE_DROP_DENY_PREFIX = 1,
	SLUICE_DROP_DENY_TUPLE = 2,
	SLUICE_DROP_LIMIT = 3,
	SLUICE_DROP_EXTENSIONS = 4,	/* more IPv6 extension headers than are read, while five-tuples are denied */
	SLUICE_DROP_FLOW = 5,		/* a flow whose answer is to drop */
	SLUICE_DROP_NO_SOCKET = 6,	/* nobody takes it in user space */
	SLUICE_DROP_OUTPUT = 7,		/* it could not be sent or changed as its flow says */
};

#define SLUICE_EVENT_BYTES 128
#define SLUICE_EVENTS_SIZE 262144	/* of the ring */

/* A sampled drop. */
struct sluice_event {
	__u64 time;		/* bpf_ktime_get_ns, CLOCK_MONOTONIC */
	__u32 ifindex;		/* where it arrived */
	__u32 length;		/* of the frame */
	__u16 reason;		/* enum sluice_drop_reason */
	__u16 captured;		/* how many bytes follow */
	__u32 sample;		/* it stands for so many drops */
	__u8 bytes[SLUICE_EVENT_BYTES];
};

/* What one CPU sampled. */
struct sluice_sampler {
	__u64 drops;		/* seen while sampling was on */
	__u64 window;		/* when the present tenth of a second began */
	__u64 in_window;	/* events since then */
	__u64 suppressed;	/* events that the limit or a full ring held back */
};

/* IPv6 extension headers that are walked over to find the ports. */
#define SLUICE_EXTENSIONS 8

_Static_assert(sizeof(struct sluice_policy_slot) == 64, "ABI");
_Static_assert(sizeof(struct sluice_policy_drops) == 16, "ABI");
_Static_assert(sizeof(struct sluice_limit) == 64, "ABI");
_Static_assert(sizeof(struct sluice_hints) == SLUICE_HINTS_SIZE, "ABI");
_Static_assert(__builtin_offsetof(struct sluice_hints, v4_narrow) == SLUICE_HINT_V4_NARROW_AT, "ABI");
_Static_assert(__builtin_offsetof(struct sluice_hints, v6_wide) == SLUICE_HINT_V6_WIDE_AT, "ABI");
_Static_assert(__builtin_offsetof(struct sluice_hints, v6_narrow) == SLUICE_HINT_V6_NARROW_AT, "ABI");
_Static_assert(sizeof(struct sluice_policy) == 32, "ABI");
_Static_assert(sizeof(struct sluice_event) == 152, "ABI");
_Static_assert(sizeof(struct sluice_sampler) == 32, "ABI");

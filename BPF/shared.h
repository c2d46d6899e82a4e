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

/* The program's name: how a leftover of a crashed agent is recognised. The kernel keeps 15 characters. */
#define SLUICE_XDP_PROGRAM "sluice_xdp"

/* Capacity of the deny list, per address family. Entries are allocated as they are added. */
#define SLUICE_DENY_CAPACITY 131072

/* Addresses of the host that a shared port knows, per family. */
#define SLUICE_HOST_ADDRESSES 1024

/* What the program is specialised to before it is loaded. It is constant then, and the verifier removes what it rules out. */
struct sluice_port_config {
	/* 1: the host keeps what belongs to it (shared port); 0: the switch gets every frame (dedicated port). */
	__u32 shared;
	/* 1: sources that the deny list names are dropped; 0: there is no list. */
	__u32 deny;
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
	SLUICE_COUNTS = 6,
};

/* One counter on one CPU. */
struct sluice_counter {
	__u64 packets;
	__u64 bytes;	/* whole frames as XDP sees them: without checksum (FCS) and without a tag that the NIC stripped */
};

/*
 * Key of the IPv4 deny list. An LPM map puts the value right behind the address; `unused` moves it to a multiple of 8, which
 * the atomic additions of the program need on arm64. It is beyond any prefix length, so the map never compares it.
 */
struct sluice_deny_v4_key {
	__u32 prefix_length;	/* 0 to 32 */
	__u8 address[4];
	__u8 unused[4];		/* zero */
};

/* Key of the IPv6 deny list. */
struct sluice_deny_v6_key {
	__u32 prefix_length;	/* 0 to 128 */
	__u8 address[16];
};

/*
 * An entry of the deny list and what it dropped. The counters are added to atomically by all CPUs: memory for them exists only
 * where there is an entry, and only CPUs that drop for the same entry at the same time share a cache line.
 */
struct sluice_deny_entry {
	__u64 packets;
	__u64 bytes;
	__u32 prefix_length;	/* of the key; tells an exact hit from the hit of a shorter prefix */
	__u32 reserved;		/* zero */
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

_Static_assert(sizeof(struct sluice_port_config) == 8, "ABI");
_Static_assert(sizeof(struct sluice_counter) == 16, "ABI");
_Static_assert(sizeof(struct sluice_deny_v4_key) == 12, "ABI");
_Static_assert(sizeof(struct sluice_deny_v6_key) == 20, "ABI");
_Static_assert(sizeof(struct sluice_deny_entry) == 24, "ABI");
_Static_assert(sizeof(struct sluice_host_mac) == 8, "ABI");

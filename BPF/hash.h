/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * hash.h: under which bucket and tag a flow is filed.
 *
 * What:       a hash of the masked words of a key: each word, moved by a secret key, is multiplied with its own upper half; the products' sum is
 *             mixed once. That is NH of UMAC (RFC 4418, section 5.2) but for the square of the upper half, which the lower half does not
 *             meet: two different keys have one sum with a probability of about 2^-32, whoever chose them without knowing the secrets.
 * Invariants: only words that a packet in the kernel can have set are looked at (SLUICE_WORD_...): what has others goes up. Programs
 *             and the agent compile this one text.
 * Cost:       six instructions per word, five words for IPv4, ten for IPv6.
 */
#pragma once

#include <linux/types.h>

/* A line of a key or a mask; FlowKey.swift has the layout. */
struct sluice_line {
	__u64 words[8];
};

/*
 * Words of line 0 that packets in the kernel have: Ethernet and the outer tag (0, 1), IPv4 addresses (2), ports and the inner tag (3), the
 * rest of IP and the ingress port (4). Behind them are ARP, MPLS and PBB, which the programs leave to the worker.
 */
#define SLUICE_WORDS 5

/* Words of line 1: IPv6 addresses (0 to 3), and as the fifth the flow label (6). The others are neighbour discovery's, the worker's too. */
#define SLUICE_WORD_LABEL 6

/* The secret keys: one for each word of line 0, then of line 1, and one for the mask. */
struct sluice_hash_keys {
	__u64 words[2 * SLUICE_WORDS + 1];
};

static inline __attribute__((always_inline)) __u64 sluice_hash_word(__u64 word, __u64 key)
{
	word += key;
	return word * (word >> 32);
}

/*
 * Hashes the words of a masked key. `line1` is not read when there is one line; NULL is fine then. The bucket is in the low bits,
 * sluice_hash_tag has the tag.
 */
static inline __attribute__((always_inline)) __u64 sluice_hash(const __u64 *line0, const __u64 *line1, _Bool has_line1, __u32 mask,
							       const volatile struct sluice_hash_keys *keys)
{
	__u64 hash = (__u64)mask * (keys->words[2 * SLUICE_WORDS] | 1);

	hash += sluice_hash_word(line0[0], keys->words[0]);
	hash += sluice_hash_word(line0[1], keys->words[1]);
	hash += sluice_hash_word(line0[2], keys->words[2]);
	hash += sluice_hash_word(line0[3], keys->words[3]);
	hash += sluice_hash_word(line0[4], keys->words[4]);
	if (has_line1) {
		hash += sluice_hash_word(line1[0], keys->words[5]);
		hash += sluice_hash_word(line1[1], keys->words[6]);
		hash += sluice_hash_word(line1[2], keys->words[7]);
		hash += sluice_hash_word(line1[3], keys->words[8]);
		hash += sluice_hash_word(line1[4], keys->words[9]);
	}
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* The tag of a flow's slot. It is never 0, as that of a slot where nothing is to be found. */
static inline __attribute__((always_inline)) __u8 sluice_hash_tag(__u64 hash)
{
	__u8 tag = hash >> 56;

	return tag ? tag : 1;
}

#ifndef __bpf__
/* The secret keys that two random numbers stand for (splitmix64). */
static inline struct sluice_hash_keys sluice_hash_keys_make(__u64 secret0, __u64 secret1)
{
	struct sluice_hash_keys keys;

	for (unsigned int i = 0; i < sizeof(keys.words) / sizeof(keys.words[0]); i++) {
		__u64 word = secret0 += 0x9e3779b97f4a7c15ULL;

		word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ULL;
		word = ((word ^ word >> 27) + secret1) * 0x94d049bb133111ebULL;
		keys.words[i] = word ^ word >> 31;
	}
	return keys;
}

/* sluice_hash for Swift. */
static inline __u64 sluice_flow_hash(const __u64 *line0, const __u64 *line1, __u32 lines, __u32 mask, const struct sluice_hash_keys *keys)
{
	return sluice_hash(line0, line1, lines == 3, mask, keys);
}
#endif

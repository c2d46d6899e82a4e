// sluice.h: the C that Swift needs and cannot say itself.
//
// What: atomics over memory shared with the kernel or with another thread, the time stamp counter, prefetch, and the few
//       libc calls and macros that do not import (pinning, MAP_FAILED, AF_XDP set-up).
// Invariants: everything in the hot path is `static inline`, so that it costs what the instruction costs.
// Threads: said at each function.
// Never #define _GNU_SOURCE here: glibc types would then differ between the modules that Swift imports.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sluice_afxdp.h"
#include "sluice_bpf.h"
#include "sluice_netlink.h"

// Atomics. Swift's Synchronization.Atomic owns its storage; these work on memory that somebody else laid out.

static inline uint32_t sluice_load_acquire_u32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint32_t sluice_load_relaxed_u32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void sluice_store_release_u8(uint8_t *p, uint8_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void sluice_store_release_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void sluice_store_relaxed_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline uint64_t sluice_load_acquire_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t sluice_load_relaxed_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void sluice_store_release_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void sluice_store_relaxed_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }

/// Writes a value and returns the one before, as one step.
static inline uint32_t sluice_exchange_u32(uint32_t *p, uint32_t v) { return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); }

/// Adds to a counter that only the calling thread writes and any thread may read.
static inline void sluice_count_u64(uint64_t *p, uint64_t n) {
	__atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/// Adds to a counter that several threads write.
static inline void sluice_add_shared_u64(uint64_t *p, uint64_t n) { __atomic_fetch_add(p, n, __ATOMIC_RELAXED); }

/// Stores `v` if the word is still `*expected`, and returns whether it was; else `*expected` is what the word is now. Orders nothing else.
static inline _Bool sluice_exchange_if_u64(uint64_t *p, uint64_t *expected, uint64_t v) {
	return __atomic_compare_exchange_n(p, expected, v, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/// Orders all earlier loads and stores before all later ones. The worker uses it between "I am going to sleep" and its last
/// look at the mailbox.
static inline void sluice_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/// The time stamp counter: TSC cycles on x86-64, the generic timer on arm64.
static inline uint64_t sluice_cycles(void) {
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t v;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#else
#error "sluice needs a cycle counter on this architecture"
#endif
}

/// Tells the core that this is a spin loop.
static inline void sluice_relax(void) {
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("yield");
#endif
}

static inline void sluice_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
static inline void sluice_prefetch_write(const void *p) { __builtin_prefetch(p, 1, 3); }

/// 64 x 64 -> 128 bit multiply, halves folded: the non-linear step of the flow hash.
static inline uint64_t sluice_fold_multiply(uint64_t a, uint64_t b) {
	unsigned __int128 r = (unsigned __int128)a * b;
	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

/// The Internet checksum's running sum (RFC 1071) of `length` bytes, as a 64-bit partial sum of native-endian 16-bit words.
/// Any alignment. Fold with sluice_checksum_fold.
uint64_t sluice_checksum_partial(const uint8_t *bytes, size_t length, uint64_t sum);

/// Folds a partial sum to 16 bits (not complemented, native byte order).
static inline uint16_t sluice_checksum_fold(uint64_t sum) {
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/// CRC32c (Castagnoli, RFC 9260 appendix A: SCTP) of `length` bytes; start with crc = 0.
uint32_t sluice_crc32c(const uint8_t *bytes, size_t length, uint32_t crc);

/// Maps `length` bytes of zeroed memory, huge pages advised when `huge` is not 0. NULL on failure (errno says why).
void *sluice_map_memory(size_t length, int huge);
// Takes the pages of a part of mapped memory now, so that whoever writes it first does not wait for them. Any thread.
void sluice_populate_memory(void *p, size_t length);
void sluice_unmap_memory(void *p, size_t length);

/// Pins the calling thread to one CPU. 0 or errno.
int sluice_pin_thread(int cpu);

/// Names the calling thread as `ps -L` and `top -H` show it (15 characters).
void sluice_name_thread(const char *name);

/// CPU time used by the calling thread, in nanoseconds.
uint64_t sluice_thread_cpu_nanoseconds(void);

/// CLOCK_MONOTONIC, in nanoseconds.
uint64_t sluice_monotonic_nanoseconds(void);

// Sleeping: an eventfd and an epoll set, which glibc's module map does not show to Swift. -1 and errno on failure.

int sluice_eventfd(void);
int sluice_epoll_create(void);
/// Waits for `fd` to become readable, too. 0 or -1.
int sluice_epoll_add(int epoll, int fd);
int sluice_epoll_remove(int epoll, int fd);
/// Waits until something in the set is readable, `nanoseconds` at most; the number of descriptors that are.
int sluice_epoll_wait(int epoll, uint64_t nanoseconds);

/// Lets go of the pages of this program's code and of free heap memory: what only starting up needed does not come back, the rest is
/// mapped again from the page cache when it is next run (a minor fault each). Resident memory falls by more than half.
void sluice_trim_resident(void);

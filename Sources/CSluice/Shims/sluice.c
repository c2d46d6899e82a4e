#define _GNU_SOURCE
#include "sluice.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t sluice_checksum_partial(const uint8_t *bytes, size_t length, uint64_t sum) {
	// Two accumulators of 32-bit words: no carry can be lost in 64 bits below 2^32 words, and the compiler vectorises it.
	uint64_t a = 0, b = 0;
	while (length >= 8) {
		uint32_t x, y;
		memcpy(&x, bytes, 4);
		memcpy(&y, bytes + 4, 4);
		a += x;
		b += y;
		bytes += 8;
		length -= 8;
	}
	if (length >= 4) {
		uint32_t x;
		memcpy(&x, bytes, 4);
		a += x;
		bytes += 4;
		length -= 4;
	}
	if (length >= 2) {
		uint16_t x;
		memcpy(&x, bytes, 2);
		b += x;
		bytes += 2;
		length -= 2;
	}
	if (length) {
		// An odd last byte counts as a 16-bit word padded with zero behind it (RFC 1071, section 1).
		uint8_t pair[2] = { *bytes, 0 };
		uint16_t x;
		memcpy(&x, pair, 2);
		a += x;
	}
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum += (a & 0xffffffffu) + (a >> 32);
	sum += (b & 0xffffffffu) + (b >> 32);
	return sum;
}

uint32_t sluice_crc32c(const uint8_t *bytes, size_t length, uint32_t crc) {
	crc = ~crc;
#if defined(__x86_64__) && defined(__SSE4_2__)
	uint64_t wide = crc;
	while (length >= 8) {
		uint64_t x;
		memcpy(&x, bytes, 8);
		wide = __builtin_ia32_crc32di(wide, x);
		bytes += 8;
		length -= 8;
	}
	crc = (uint32_t)wide;
	while (length--) crc = __builtin_ia32_crc32qi(crc, *bytes++);
#else
	while (length--) {
		crc ^= *bytes++;
		for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & -(crc & 1));
	}
#endif
	return ~crc;
}

void *sluice_map_memory(size_t length, int huge) {
	void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) return NULL;
	if (huge) madvise(p, length, MADV_HUGEPAGE);
	return p;
}

// Since Linux 5.14; headers may be older. On an older kernel the pages come with the first write, as ever.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void sluice_populate_memory(void *p, size_t length) { (void)madvise(p, length, MADV_POPULATE_WRITE); }

void sluice_unmap_memory(void *p, size_t length) {
	if (p) munmap(p, length);
}

int sluice_pin_thread(int cpu) {
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void sluice_name_thread(const char *name) {
	char cut[16];
	strncpy(cut, name, sizeof cut - 1);
	cut[sizeof cut - 1] = 0;
	pthread_setname_np(pthread_self(), cut);
}

static uint64_t nanoseconds(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t sluice_thread_cpu_nanoseconds(void) { return nanoseconds(CLOCK_THREAD_CPUTIME_ID); }

uint64_t sluice_monotonic_nanoseconds(void) { return nanoseconds(CLOCK_MONOTONIC); }

int sluice_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

int sluice_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int sluice_epoll_add(int epoll, int fd) {
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int sluice_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int sluice_epoll_wait(int epoll, uint64_t nanoseconds) {
	struct epoll_event events[16];
	struct timespec timeout = { .tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000 };
	return epoll_pwait2(epoll, events, 16, &timeout, NULL);
}

// The linker's marks around the program's code.
extern char __executable_start[];
extern char etext[];

void sluice_trim_resident(void) {
	malloc_trim(0);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)__executable_start + page - 1) & ~(page - 1);
	uintptr_t end = (uintptr_t)etext & ~(page - 1);
	// Code pages are clean copies of the file, so dropping them loses nothing.
	if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
}

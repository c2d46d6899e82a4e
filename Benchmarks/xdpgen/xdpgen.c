// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//
// xdpgen.c: the user's half of the benchmarks on veth. Run it inside the network namespace of the interface.
//
//   xdpgen OBJECT generate INTERFACE SECONDS FLOWS [SOURCES]
//                                            sends 64-byte UDP frames (60 in memory) out of INTERFACE, from 10.0.0.1 or from SOURCES
//                                            addresses that follow it, and prints "PACKETS SECONDS" at the end
//   xdpgen OBJECT sink INTERFACE             counts and drops what arrives; for every line on standard input it prints
//                                            "PACKETS NANOSECONDS" (CLOCK_MONOTONIC); ends with its input
//   xdpgen OBJECT drop INTERFACE             the same, but reads the IPv4 addresses first
//   xdpgen OBJECT redirect INTERFACE OUT     redirects everything that arrives to OUT; ends with its input
//   xdpgen OBJECT forward INTERFACE OUT      the same, but reads the headers first
//
// The peer of a generating veth needs an XDP program, or the kernel drops the frames. All say "ready" when they run.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#ifndef BPF_F_TEST_XDP_LIVE_FRAMES
#define BPF_F_TEST_XDP_LIVE_FRAMES (1U << 1)
#endif

enum { FRAME_BYTES = 60, MOST_CPUS = 1024 };

// The read-only data of the object, in the order of its declarations.
struct settings {
	uint32_t out_ifindex, flow_count, source_count, template_checksum;
};

struct slot {
	uint64_t packets, seed;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "xdpgen: %s: %s\n", what, strerror(error < 0 ? -error : error));
	return 1;
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t packets(int map)
{
	static struct slot slots[MOST_CPUS];
	uint32_t zero = 0;
	uint64_t sum = 0;
	int cpus = libbpf_num_possible_cpus();

	if (cpus > MOST_CPUS || bpf_map_lookup_elem(map, &zero, slots))
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += slots[cpu].packets;
	return sum;
}

static const unsigned char template[FRAME_BYTES] = {
	2, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 8, 0,                            // Ethernet, IPv4
	0x45, 0, 0, FRAME_BYTES - 14, 0, 0, 0, 0, 64, 17, 0, 0,              // 46 bytes, TTL 64, UDP
	10, 0, 0, 1, 10, 128, 0, 1, 0, 0, 0, 0, 0, FRAME_BYTES - 34, 0, 0,   // addresses, ports, length, no checksum
};

// The checksum of the template's IP header, with its source address or without.
static uint32_t checksum(int with_source)
{
	uint32_t sum = 0;

	for (int at = 14; at < 34; at += 2)
		if (with_source || at < 26 || at >= 30)
			sum += (uint32_t)(template[at] << 8 | template[at + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
}

static int generate(int program, int map, double seconds)
{
	unsigned char frame[FRAME_BYTES];
	uint32_t sum = checksum(1);

	memcpy(frame, template, sizeof frame);
	frame[24] = (unsigned char)(sum >> 8);
	frame[25] = (unsigned char)sum;

	// One long call, ended by a timer: every call sets a page pool up and takes it down again, some 20 ms.
	struct xdp_md context = { .data_end = FRAME_BYTES };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = FRAME_BYTES, .ctx_in = &context,
		    .ctx_size_in = sizeof context, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64, .repeat = 1 << 30);
	struct itimerval timer = { .it_value = { (time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6) } };

	puts("ready");
	setitimer(ITIMER_REAL, &timer, NULL);
	uint64_t start = nanoseconds();
	while (!stopped) {
		int error = bpf_prog_test_run_opts(program, &run);
		if (error && error != -EINTR)
			return fail("BPF_PROG_TEST_RUN", error);
	}
	printf("%llu %.3f\n", (unsigned long long)packets(map), (double)(nanoseconds() - start) / 1e9);
	return 0;
}

// Runs a program on an interface and answers questions for its count.
static int attach(int program, int map, int ifindex)
{
	char line[64];
	int error = bpf_xdp_attach(ifindex, program, XDP_FLAGS_DRV_MODE, NULL);

	if (error)
		return fail("attaching the program", error);
	puts("ready");
	while (!stopped && fgets(line, sizeof line, stdin))
		printf("%llu %llu\n", (unsigned long long)packets(map), (unsigned long long)nanoseconds());
	bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 3 ? argv[2] : "";
	int generating = (argc == 6 || argc == 7) && !strcmp(mode, "generate");
	int redirecting = argc == 5 && (!strcmp(mode, "redirect") || !strcmp(mode, "forward"));

	if (!generating && !redirecting && !(argc == 4 && (!strcmp(mode, "sink") || !strcmp(mode, "drop")))) {
		fprintf(stderr, "usage: xdpgen OBJECT generate INTERFACE SECONDS FLOWS [SOURCES] | xdpgen OBJECT sink|drop INTERFACE | "
				"xdpgen OBJECT redirect|forward INTERFACE OUT\n");
		return 2;
	}
	struct sigaction action = { .sa_handler = stop };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);

	unsigned int ifindex = if_nametoindex(argv[3]);
	if (!ifindex)
		return fail(argv[3], errno);
	struct bpf_object *object = bpf_object__open(argv[1]);
	if (!object)
		return fail(argv[1], errno);
	if (generating) {
		struct settings settings = { ifindex, (uint32_t)strtoul(argv[5], NULL, 10), argc == 7 ? (uint32_t)strtoul(argv[6], NULL, 10) : 1,
					     checksum(0) };
		struct bpf_map *constants = bpf_object__find_map_by_name(object, ".rodata");
		if (!constants || !settings.flow_count || settings.flow_count > 1u << 30 || !settings.source_count ||
		    settings.source_count > 1u << 24 || bpf_map__set_initial_value(constants, &settings, sizeof settings))
			return fail("FLOWS or SOURCES", EINVAL);
	}
	int error = bpf_object__load(object);
	if (error)
		return fail("loading", error);
	struct bpf_program *program = bpf_object__find_program_by_name(object, mode);
	int map = bpf_object__find_map_fd_by_name(object, "state"), out = bpf_object__find_map_fd_by_name(object, "out");
	if (!program || map < 0 || out < 0)
		return fail(argv[1], ENOENT);
	if (redirecting) {
		uint32_t zero = 0, to = if_nametoindex(argv[4]);
		if (!to || bpf_map_update_elem(out, &zero, &to, 0))
			return fail(argv[4], errno);
	}
	int descriptor = bpf_program__fd(program);
	return generating ? generate(descriptor, map, strtod(argv[4], NULL)) : attach(descriptor, map, (int)ifindex);
}

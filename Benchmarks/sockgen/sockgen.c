// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//
// sockgen.c: traffic through ordinary sockets, as containers make it. Run it inside the network namespace of the interface.
//
//   sockgen udp-sink PORT               counts datagrams; for every line on standard input it prints "PACKETS NANOSECONDS"
//                                       (CLOCK_MONOTONIC); ends with its input
//   sockgen udp-send ADDRESS PORT SECONDS BYTES    sends datagrams of BYTES of payload as fast as it can
//   sockgen echo PORT                   answers: datagrams as they come, and one request of 64 bytes per TCP connection
//   sockgen round-trips ADDRESS PORT SECONDS       one datagram of 64 bytes at a time; prints "COUNT P50 P99" (nanoseconds)
//   sockgen connections ADDRESS PORT SECONDS       connect, request, answer, close, 16 at a time; prints "COUNT NANOSECONDS"
//
// Servers say "ready" when they listen.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, REQUEST_BYTES = 64, MOST_BYTES = 1472, MOST_SAMPLES = 1 << 22, AT_A_TIME = 16 };

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "sockgen: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1) {
		fprintf(stderr, "sockgen: %s is no IPv4 address\n", address);
		exit(1);
	}
	return to;
}

static int bound(int type, const char *port)
{
	struct sockaddr_in here = address_of("0.0.0.0", port);
	int fd = socket(AF_INET, type, 0), one = 1, bytes = 8 << 20;

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	if (bind(fd, (struct sockaddr *)&here, sizeof here))
		fail("bind");
	return fd;
}

static int connected(int type, const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, type, 0);

	if (fd < 0)
		fail("socket");
	if (connect(fd, (const struct sockaddr *)to, sizeof *to))
		fail("connect");
	return fd;
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static struct mmsghdr messages[BATCH];
static struct iovec pieces[BATCH];
static char buffers[BATCH][MOST_BYTES];

static void prepare(size_t bytes)
{
	for (int i = 0; i < BATCH; i++) {
		pieces[i] = (struct iovec){ buffers[i], bytes };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static uint64_t counted;

static void *count_datagrams(void *argument)
{
	int fd = *(int *)argument;

	prepare(MOST_BYTES);
	for (;;) {
		int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

		if (got > 0)
			__atomic_add_fetch(&counted, (uint64_t)got, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int udp_sink(const char *port)
{
	int fd = bound(SOCK_DGRAM, port);
	pthread_t thread;
	char line[64];

	if (pthread_create(&thread, NULL, count_datagrams, &fd))
		fail("thread");
	ready();
	while (fgets(line, sizeof line, stdin)) {
		printf("%llu %llu\n", (unsigned long long)__atomic_load_n(&counted, __ATOMIC_RELAXED), (unsigned long long)nanoseconds());
		fflush(stdout);
	}
	return 0;
}

static int udp_send(const char *address, const char *port, double seconds, size_t bytes)
{
	struct sockaddr_in to = address_of(address, port);
	int fd = connected(SOCK_DGRAM, &to);
	uint64_t end = nanoseconds() + (uint64_t)(seconds * 1e9);

	if (bytes > MOST_BYTES)
		bytes = MOST_BYTES;
	prepare(bytes);
	while (nanoseconds() < end)
		if (sendmmsg(fd, messages, BATCH, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
			fail("send");
	return 0;
}

static void *echo_datagrams(void *argument)
{
	int fd = *(int *)argument;
	char bytes[MOST_BYTES];
	struct sockaddr_in from;

	for (;;) {
		socklen_t length = sizeof from;
		ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);

		if (got >= 0)
			sendto(fd, bytes, (size_t)got, 0, (struct sockaddr *)&from, length);
	}
	return NULL;
}

static void *answer_connections(void *argument)
{
	int listener = *(int *)argument;
	char request[REQUEST_BYTES];

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (recv(fd, request, sizeof request, MSG_WAITALL) == sizeof request)
			send(fd, request, sizeof request, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static int echo(const char *port)
{
	int datagrams = bound(SOCK_DGRAM, port), listener = bound(SOCK_STREAM, port);
	pthread_t thread;

	if (listen(listener, 4096))
		fail("listen");
	if (pthread_create(&thread, NULL, echo_datagrams, &datagrams))
		fail("thread");
	for (int i = 1; i < AT_A_TIME; i++)
		if (pthread_create(&thread, NULL, answer_connections, &listener))
			fail("thread");
	ready();
	answer_connections(&listener);
	return 0;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int round_trips(const char *address, const char *port, double seconds)
{
	static uint32_t samples[MOST_SAMPLES];
	struct sockaddr_in to = address_of(address, port);
	int fd = connected(SOCK_DGRAM, &to);
	struct timeval patience = { .tv_sec = 1 };
	uint64_t end = nanoseconds() + (uint64_t)(seconds * 1e9), now;
	size_t count = 0;
	char bytes[REQUEST_BYTES] = { 0 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	while ((now = nanoseconds()) < end && count < MOST_SAMPLES) {
		send(fd, bytes, sizeof bytes, 0);
		if (recv(fd, bytes, sizeof bytes, 0) == sizeof bytes)
			samples[count++] = (uint32_t)(nanoseconds() - now);
	}
	if (!count) {
		fprintf(stderr, "sockgen: no answer from %s\n", address);
		return 1;
	}
	qsort(samples, count, sizeof *samples, ascending);
	printf("%zu %u %u\n", count, samples[count / 2], samples[count * 99 / 100]);
	return 0;
}

struct client {
	struct sockaddr_in to;
	uint64_t end, count;
	pthread_t thread;
};

static void *connect_and_close(void *argument)
{
	struct client *client = argument;
	struct linger at_once = { .l_onoff = 1 };
	char request[REQUEST_BYTES] = { 0 };

	while (nanoseconds() < client->end) {
		int fd = connected(SOCK_STREAM, &client->to);

		if (send(fd, request, sizeof request, MSG_NOSIGNAL) == sizeof request &&
		    recv(fd, request, sizeof request, MSG_WAITALL) == sizeof request)
			client->count++;
		// The port is free again at once: no TIME_WAIT, of which there would soon be one per port.
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
		close(fd);
	}
	return NULL;
}

static int connections(const char *address, const char *port, double seconds)
{
	static struct client clients[AT_A_TIME];
	uint64_t began = nanoseconds(), count = 0;

	for (int i = 0; i < AT_A_TIME; i++) {
		clients[i] = (struct client){ .to = address_of(address, port), .end = began + (uint64_t)(seconds * 1e9) };
		if (pthread_create(&clients[i].thread, NULL, connect_and_close, &clients[i]))
			fail("thread");
	}
	for (int i = 0; i < AT_A_TIME; i++) {
		pthread_join(clients[i].thread, NULL);
		count += clients[i].count;
	}
	printf("%llu %llu\n", (unsigned long long)count, (unsigned long long)(nanoseconds() - began));
	return 0;
}

int main(int count, char **words)
{
	const char *mode = count > 1 ? words[1] : "";

	if (!strcmp(mode, "udp-sink") && count == 3)
		return udp_sink(words[2]);
	if (!strcmp(mode, "udp-send") && count == 6)
		return udp_send(words[2], words[3], atof(words[4]), (size_t)atoi(words[5]));
	if (!strcmp(mode, "echo") && count == 3)
		return echo(words[2]);
	if (!strcmp(mode, "round-trips") && count == 5)
		return round_trips(words[2], words[3], atof(words[4]));
	if (!strcmp(mode, "connections") && count == 5)
		return connections(words[2], words[3], atof(words[4]));
	fprintf(stderr, "sockgen: the modes are in sockgen.c\n");
	return 2;
}

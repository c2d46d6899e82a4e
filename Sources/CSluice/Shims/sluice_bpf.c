#include "sluice_bpf.h"

#include <errno.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { CAPACITY = 16384 };

static _Thread_local char text[CAPACITY];
static _Thread_local size_t used;

// libbpf's enum libbpf_print_level: 0 warning, 1 information, 2 debug.
enum { INFORMATION = 1 };

int sluice_bpf_message(unsigned int level, const char *format, va_list arguments) {
	if (level > INFORMATION) return 0;

	va_list again;
	va_copy(again, arguments);
	int length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length <= 0) return 0;

	// One message can be a whole verifier log of megabytes, so it is printed in full before its end is kept.
	char *message = malloc((size_t)length + 1);
	if (!message) return 0;
	vsnprintf(message, (size_t)length + 1, format, arguments);

	size_t kept = (size_t)length < CAPACITY ? (size_t)length : CAPACITY - 1;
	size_t room = CAPACITY - 1 - kept;
	if (used > room) {
		memmove(text, text + (used - room), room);
		used = room;
	}
	memcpy(text + used, message + ((size_t)length - kept), kept);
	used += kept;
	text[used] = 0;
	free(message);
	return 0;
}

void sluice_bpf_clear_messages(void) {
	used = 0;
	text[0] = 0;
}

const char *sluice_bpf_messages(void) { return text; }

int sluice_is_bpf_filesystem(const char *path) {
	struct statfs facts;
	return statfs(path, &facts) == 0 && facts.f_type == BPF_FS_MAGIC;
}

int sluice_mount_bpf_filesystem(const char *path) { return mount("bpf", path, "bpf", 0, "mode=0700") == 0 ? 0 : errno; }

// A dump is read to its end, so that the answer is about all of it.
static int read_filters(int descriptor) {
	char buffer[16384];
	int found = 0;
	for (;;) {
		ssize_t length = recv(descriptor, buffer, sizeof(buffer), 0);
		if (length < 0 && errno == EINTR) continue;
		if (length <= 0) return length < 0 ? -errno : -EIO;
		unsigned int left = (unsigned int)length;
		for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
			if (message->nlmsg_type == NLMSG_DONE) return found;
			if (message->nlmsg_type == NLMSG_ERROR) {
				struct nlmsgerr *error = NLMSG_DATA(message);
				return error->error;
			}
			if (message->nlmsg_type == RTM_NEWTFILTER) found = 1;
		}
	}
}

int sluice_tc_has_filters(int interface_index, unsigned int parent) {
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (descriptor < 0) return -errno;
	struct {
		struct nlmsghdr header;
		struct tcmsg filter;
	} request = {
		.header = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETTFILTER,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.filter = {.tcm_family = AF_UNSPEC, .tcm_ifindex = interface_index, .tcm_parent = parent},
	};
	int answer = send(descriptor, &request, sizeof(request), 0) < 0 ? -errno : read_filters(descriptor);
	close(descriptor);
	return answer;
}

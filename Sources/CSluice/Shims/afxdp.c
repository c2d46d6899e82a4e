#define _GNU_SOURCE
#include "sluice_afxdp.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

int sluice_afxdp_kick_transmit(int fd) {
	return sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 ? 0 : errno;
}

int sluice_afxdp_kick_receive(int fd) {
	return recvfrom(fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) >= 0 ? 0 : errno;
}

void *sluice_afxdp_map_ring(int fd, size_t length, uint64_t offset) {
	// MAP_POPULATE: the rings are touched by a worker, which must not take page faults.
	void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
	return p == MAP_FAILED ? NULL : p;
}

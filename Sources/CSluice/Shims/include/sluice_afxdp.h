// sluice_afxdp.h: the few things of AF_XDP that Swift cannot say itself.
//
// What: the system calls that wake the kernel, the mapping of a ring, and constants younger than the oldest kernel
//       headers we build with (6.1).
// Threads: any; a kick is made by the worker that owns the socket.
// Cost: a kick is one system call; in copy mode it is the transmission itself, about 1 us per frame on a veth.
#pragma once

#include <linux/if_xdp.h>
#include <stddef.h>
#include <stdint.h>

// linux/if_xdp.h, since 6.6: more descriptors of the same frame follow.
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

// linux/if_xdp.h, since 6.17: frames that one sendto sends in copy mode.
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/// Asks the kernel to send what is in the tx ring. 0 or errno.
int sluice_afxdp_kick_transmit(int fd);

/// Asks a zero-copy driver that ran out of receive buffers to look at the fill ring again. 0 or errno.
int sluice_afxdp_kick_receive(int fd);

/// Maps a ring of an AF_XDP socket (offset: XDP_PGOFF_RX_RING and the like). NULL on failure; errno says why.
void *sluice_afxdp_map_ring(int fd, size_t length, uint64_t offset);

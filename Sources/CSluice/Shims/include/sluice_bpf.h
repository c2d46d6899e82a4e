// sluice_bpf.h: the ABI of the BPF programs, and libbpf's messages kept per thread.
//
// What: libbpf and, through it, the kernel explain failures only in printed text (the verifier's log, netlink's extended
//       acknowledgement). The functions here keep that text, so that an error can quote it.
// Invariants: needs nothing of libbpf, so that programs without it can link CSluice. Only the end of a long text is kept,
//       because a verifier's log says at its end what is wrong.
// Threads: a text belongs to the thread whose call produced it; every function works on the calling thread's text.
#pragma once

#include <stdarg.h>

#include "../../../../BPF/shared.h"

/// Appends a message of libbpf to the calling thread's text, when its level is warning or information. Give it to
/// libbpf_set_print. Returns 0.
int sluice_bpf_message(unsigned int level, const char *format, va_list arguments);

/// Empties the calling thread's text.
void sluice_bpf_clear_messages(void);

/// The calling thread's text since it was emptied, 0-terminated; valid until the next message.
const char *sluice_bpf_messages(void);

/// Whether a path is in a BPF file system: 1 or 0.
int sluice_is_bpf_filesystem(const char *path);

/// Mounts a BPF file system on a directory that is there. Returns 0 or an errno value.
int sluice_mount_bpf_filesystem(const char *path);

/// Whether an interface has tc filters under a parent (0xfffffff2: clsact ingress, 0xfffffff3: egress): 1, 0, or an errno value below 0.
int sluice_tc_has_filters(int interface_index, unsigned int parent);

/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * maps.h: the maps of the flow table, which all programs on all ports share.
 *
 * What:       declarations. The agent makes the maps once, and every program is loaded with them in place of its own (FlowTableMaps.swift
 *             says how large); a program that does not look flows up has none of them.
 * Invariants: all are mapped into the agent, which writes them without system calls. Those that a packet always needs and that are not
 *             large are global data: arrays of one value, whose address the JIT puts into the code, so that an index is all that a
 *             look-up costs. The others are arrays whose look-up the JIT inlines.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

/* A section of its own, so that nothing else shares the map that user space writes before loading. */
const volatile struct sluice_port_config sluice_config SEC(".rodata.config") = {};

#define TABLE_ARRAY(name, value_type, entries)               \
	struct {                                             \
		__uint(type, BPF_MAP_TYPE_ARRAY);            \
		__uint(map_flags, BPF_F_MMAPABLE);           \
		__uint(max_entries, entries);                \
		__type(key, __u32);                          \
		__type(value, struct value_type);            \
	} name SEC(".maps")

TABLE_ARRAY(sluice_flows, sluice_slot, SLUICE_SLOTS);
TABLE_ARRAY(sluice_line1, sluice_line, SLUICE_SLOTS);
TABLE_ARRAY(sluice_programs, sluice_program, SLUICE_ACTION_PROGRAMS);
TABLE_ARRAY(sluice_workers, sluice_worker, SLUICE_WORKERS);

/* Sections of their own, which are the names of the maps in an object. */
struct sluice_bucket sluice_buckets[SLUICE_SLOTS / SLUICE_BUCKET_SLOTS] SEC(".bss.buckets");
struct sluice_mask sluice_masks[SLUICE_MASKS] SEC(".bss.masks");
struct sluice_port sluice_ports[SLUICE_PORTS] SEC(".bss.ports");

/* The port of an index; one that is too large, which the agent never writes, stands for another port and not for other memory. */
static __always_inline const struct sluice_port *sluice_port_at(__u32 index)
{
	return &sluice_ports[index & (SLUICE_PORTS - 1)];
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLUICE_PORTS);
	__type(key, __u32);
	__type(value, struct sluice_port_count);
} sluice_port_counts SEC(".maps");

/* Outputs of a dry run. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SLUICE_DRY_RING);
} sluice_dry SEC(".maps");

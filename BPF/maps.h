/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * maps.h: the maps of the flow table, which all programs on all ports share.
 *
 * What:       declarations. The agent makes the maps once, and every program is loaded with them in place of its own (FlowTableMaps.swift
 *             says how large); a program that does not look flows up has none of them.
 * Invariants: arrays, because the JIT inlines their look-up; mapped into the agent, which writes them without system calls.
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

TABLE_ARRAY(sluice_flows, sluice_flow, SLUICE_FLOWS);
TABLE_ARRAY(sluice_line1, sluice_line, SLUICE_FLOWS);
TABLE_ARRAY(sluice_waits, sluice_wait, SLUICE_FLOWS);
TABLE_ARRAY(sluice_buckets, sluice_bucket, SLUICE_FLOWS / 2);
TABLE_ARRAY(sluice_masks, sluice_mask, SLUICE_MASKS);
TABLE_ARRAY(sluice_programs, sluice_program, SLUICE_ACTION_PROGRAMS);
TABLE_ARRAY(sluice_flow_counts, sluice_flow_count, SLUICE_FLOWS);	/* times shards */
TABLE_ARRAY(sluice_ports, sluice_port, SLUICE_PORTS);
TABLE_ARRAY(sluice_workers, sluice_worker, SLUICE_WORKERS);

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

/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * events.h: samples of what the programs drop, for people.
 *
 * What:       sluice_sample makes an event of one drop in so many: why, where it arrived, how long it was and how it began.
 * Invariants: the agent says at run time how many drops one event stands for (0: no events) and how many events there may be in a tenth of
 *             a second, so that a flood cannot become a flood of events. What was held back is counted.
 * Threads:    any program on any CPU; the ring is one for all.
 * Cost:       no sampling: one load and one branch.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#ifndef SLUICE_CONTEXT
#error "define SLUICE_CONTEXT as what the hook gives its programs: xdp_md, __sk_buff"
#endif

/* A section of its own, whose map the agent replaces by that of the policy: a program reads a constant address, and looks nothing up. */
struct sluice_policy sluice_policy SEC(".bss.policy");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SLUICE_EVENTS_SIZE);
} sluice_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_sampler);
} sluice_sampler SEC(".maps");

/*
 * Makes an event of a drop, one in `policy->sample` on each CPU, and not more than `policy->sample_limit` in a tenth of a second. `length` is
 * the whole frame's; the bytes are those that can be read directly.
 *
 * A global function, so that the verifier looks at it once and not once for every way to a drop.
 */
__noinline int sluice_make_event(struct SLUICE_CONTEXT *ctx, __u32 reason, __u64 length)
{
	void *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct sluice_policy *policy = &sluice_policy;
	struct sluice_sampler *sampler;
	struct sluice_event *event;
	__u32 zero = 0, sample;
	__u64 now;

	sample = policy->sample;
	if (!sample)
		return 0;
	sampler = bpf_map_lookup_elem(&sluice_sampler, &zero);
	if (!sampler || ++sampler->drops % sample)
		return 0;
	now = bpf_ktime_get_ns();
	if (now - sampler->window >= 100000000) {
		sampler->window = now;
		sampler->in_window = 0;
	}
	if (sampler->in_window >= policy->sample_limit) {
		sampler->suppressed++;
		return 0;
	}
	event = bpf_ringbuf_reserve(&sluice_events, sizeof(*event), 0);
	if (!event) {
		sampler->suppressed++;
		return 0;
	}
	sampler->in_window++;
	event->time = now;
	event->ifindex = ctx->ingress_ifindex;
	event->length = length;
	event->reason = reason;
	event->sample = sample;
	event->captured = end - start < SLUICE_EVENT_BYTES ? end - start : SLUICE_EVENT_BYTES;
	/* The ring's memory is not cleared. */
	__builtin_memset(event->bytes, 0, sizeof(event->bytes));
	for (int i = 0; i < SLUICE_EVENT_BYTES && start + i + 1 <= end; i++)
		event->bytes[i] = *(__u8 *)(start + i);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Samples a drop, if somebody wants samples. */
static __always_inline void sluice_sample(struct SLUICE_CONTEXT *ctx, __u32 reason, __u64 length)
{
	if (sluice_config.deny && sluice_policy.sample)
		sluice_make_event(ctx, reason, length);
}

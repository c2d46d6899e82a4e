// tsc.c: prints how many cycles the time-stamp counter (on arm64 the virtual counter) makes in a second.
//
// The benchmarks turn CPU time into cycles with it, so that all contenders' cycles are of the same clock.

#include <stdint.h>
#include <stdio.h>
#include <time.h>

static uint64_t cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t value;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
#else
#error "no cycle counter known for this processor"
#endif
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(void)
{
	uint64_t start = nanoseconds(), first = cycles();
	struct timespec pause = { .tv_nsec = 300000000 };

	nanosleep(&pause, NULL);
	uint64_t last = cycles(), end = nanoseconds();
	printf("%.0f\n", (double)(last - first) * 1e9 / (double)(end - start));
	return 0;
}

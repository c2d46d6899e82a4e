#include "sluice_bpf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* The one sink of the process; every part of the program logs, none should have to carry a handle
 * for it. */
static struct {
	struct control_log_options o;
	FILE *file;
	bool started;
} sink;

int control_log_open(const struct control_log_options *o)
{
	sink.o = *o;
	if (o->background)
		openlog("opes-control", LOG_PID, LOG_DAEMON);
	return control_log_reopen();
}

void control_log_started(void)
{
	sink.started = true;
}

int control_log_reopen(void)
{
	FILE *f;

	if (!sink.o.file)
		return 0;
	f = fopen(sink.o.file, "ae");
	if (!f)
		return -errno;
	setvbuf(f, NULL, _IOLBF, 0);
	if (sink.file)
		fclose(sink.file);
	sink.file = f;
	return 0;
}

static void message(int level, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	if (!sink.started)
		fprintf(stderr, "opes-control: %s\n", text);
	else if (sink.o.background && !sink.file)
		syslog(level, "%s", text);
	else
		fprintf(sink.file ? sink.file : stderr, "opes-control: %s\n", text);
}

void control_log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message(LOG_ERR, fmt, ap);
	va_end(ap);
}

void control_log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message(LOG_INFO, fmt, ap);
	va_end(ap);
}

void control_log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!sink.o.verbose)
		return;
	va_start(ap, fmt);
	message(LOG_DEBUG, fmt, ap);
	va_end(ap);
}

static const char *member(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

void control_log_event(const json_t *event)
{
	FILE *out = sink.file ? sink.file : stdout;
	char *line;

	if (sink.o.text) {
		char text[512];

		snprintf(text, sizeof(text), "%s %s %s%s%s: %s", member(event, "time"),
			 member(event, "writer"), member(event, "kind"),
			 *member(event, "cause") ? " " : "", member(event, "cause"),
			 member(event, "text"));
		line = strdup(text);
	} else {
		line = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER);
	}
	if (!line)
		return;
	if (sink.o.background && !sink.file) {
		syslog(LOG_NOTICE, "%s", line);
	} else {
		fprintf(out, "%s\n", line);
		fflush(out);
	}
	free(line);
}

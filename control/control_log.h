/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where opes-control writes: its own messages (one line each) and the events
 * of the dataplane (one JSON object or one line of text each).
 *
 * Until control_log_started everything said goes to stderr, where whoever started
 * the program looks. Then: in the foreground messages go to stderr and events to stdout; in the
 * background both go to syslog; with a log file both go there. Main thread only.
 */
#ifndef CONTROL_LOG_H
#define CONTROL_LOG_H

#include <stdbool.h>
#include <jansson.h>

struct control_log_options {
	const char *file;		/* NULL = none */
	bool background, verbose, text; /* text: events as text instead of JSON */
};

/* 0 or -errno (the file cannot be opened). */
int control_log_open(const struct control_log_options *o);
/* The start succeeded. */
void control_log_started(void);
/* Opens the file again under its name (log rotation). */
int control_log_reopen(void);
void control_log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void control_log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Only with verbose. */
void control_log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* event: an object as made by control_events (borrowed). */
void control_log_event(const json_t *event);

#endif

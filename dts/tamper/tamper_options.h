/* SPDX-License-Identifier: BSD-3-Clause */
/* The options of opes-tamper, from its command line and from lines sent to it. */
#ifndef TAMPER_OPTIONS_H
#define TAMPER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "tamper/tamper.h"

#define TAMPER_ERROR_MAX 200

struct tamper_options {
	struct tamper_conf conf[2]; /* from the first interface to the second, and back */
	const char *device[2];	    /* NULL: not given; they point into the words read */
	const char *control;
	bool help;
};

/* Reads words. Returns 0, or -1 with what is wrong in error, which names the word. The settings are complete then: what is
 * not given has its default, seeds of the two directions differ. */
int tamper_options_read(struct tamper_options *o, int n, char **word, char error[TAMPER_ERROR_MAX]);
/* The same for a line of settings, which is cut into words in place. Devices and --control are refused. */
int tamper_options_line(struct tamper_options *o, char *line, char error[TAMPER_ERROR_MAX]);
extern const char tamper_options_help[];

#endif

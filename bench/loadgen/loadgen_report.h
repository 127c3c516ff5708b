/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a run came to: aligned text, and records of the form that bench/README.md describes.
 */
#ifndef LOADGEN_REPORT_H
#define LOADGEN_REPORT_H

#include <stdio.h>
#include "loadgen_run.h"

void lg_report_text(const struct lg_config *cfg, const struct lg_result *r, bool ok, const char *note, FILE *f);
/* Appends to cfg->json. 0 or -errno. */
int lg_report_json(const struct lg_config *cfg, const struct lg_result *r, bool ok, const char *note);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures: slices to samples, rows of the table, lines of JSON. */
#include "path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void path_slices_add(struct path_slices *s, double v)
{
	if (s->n == s->cap) {
		unsigned cap = s->cap ? s->cap * 2 : 1024;
		double *more = realloc(s->v, cap * sizeof(*more));

		if (!more)
			return; /* the sample is of the slices so far */
		s->v = more;
		s->cap = cap;
	}
	s->v[s->n++] = v;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double path_slices_quantile(struct path_slices *s, double q)
{
	if (s->n == 0)
		return 0;
	qsort(s->v, s->n, sizeof(s->v[0]), ascending);
	return s->v[(unsigned)(q * (s->n - 1) + 0.5)];
}

void path_record_title(void)
{
	printf("%-52s %-18s %10s %10s %10s %10s  %s\n", "measurement", "unit", "median", "least", "p10", "p90",
	       "");
}

static void spread(const struct path_record *r, double *median, double *least)
{
	struct path_slices s = {.cap = PATH_SAMPLES, .n = r->samples};
	double v[PATH_SAMPLES];

	memcpy(v, r->sample, sizeof(v));
	s.v = v;
	*median = path_slices_quantile(&s, 0.5);
	*least = path_slices_quantile(&s, 0);
}

static int line_write(const struct path_record *r, FILE *f)
{
	fprintf(f, "{\"bench\": \"path\", \"name\": \"%s\", \"metric\": \"%s\", \"unit\": \"%s\", \"better\": \"%s\", "
		   "\"samples\": [", r->name, r->metric, r->unit, r->better);
	for (unsigned i = 0; i < r->samples; i++)
		fprintf(f, "%s%.6g", i ? ", " : "", r->sample[i]);
	fprintf(f, "], \"slices_p10\": %.6g, \"slices_p90\": %.6g, \"params\": {%s}, ", r->p10, r->p90, r->params);
	if (r->target)
		fprintf(f, "\"target\": \"%s\", ", r->target);
	return fprintf(f, "\"ok\": %s, \"note\": \"%s\"}\n", r->ok ? "true" : "false", r->note);
}

int path_record_write(const struct path_record *r, const char *json)
{
	double median, least;
	FILE *f;
	int rc;

	spread(r, &median, &least);
	printf("%-52s %-18s %10.4g %10.4g %10.4g %10.4g  %s%s%s\n", r->name, r->unit, median, least, r->p10, r->p90,
	       r->ok ? "" : "WRONG: ", r->note, r->target ? r->target : "");
	fflush(stdout);
	if (!json)
		return 0;
	f = fopen(json, "a");
	if (!f)
		return -errno;
	rc = line_write(r, f) < 0 ? -EIO : 0;
	if (fclose(f) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

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

void path_meter_begin(struct path_meter *m, const struct path_box *b)
{
	memcpy(m->busy, b->busy, sizeof(m->busy));
	m->callout = b->busy_callout;
}

void path_meter_slice(struct path_meter *m, const struct path_box *b, double units)
{
	double most = 0;

	for (unsigned i = 0; i < b->workers; i++) {
		double took = (double)(b->busy[i] - m->busy[i]);

		if (i == 0)
			took += (double)(b->busy_callout - m->callout);
		path_slices_add(&m->worker[i], took / units);
		most = RTE_MAX(most, took / units);
	}
	path_slices_add(&m->all, most);
	path_meter_begin(m, b);
}

double path_meter_sample(struct path_meter *m, const struct path_box *b)
{
	double most = 0;

	for (unsigned i = 0; i < b->workers; i++) {
		double median = path_slices_quantile(&m->worker[i], 0.5);

		most = RTE_MAX(most, median);
		m->worker[i].n = 0;
	}
	return most;
}

void path_meter_free(struct path_meter *m)
{
	for (unsigned i = 0; i < PATH_WORKERS; i++)
		free(m->worker[i].v);
	free(m->all.v);
	memset(m, 0, sizeof(*m));
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
	if (r->pair)
		fprintf(f, "\"pair\": \"%s\", ", r->pair);
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
	       r->ok ? "" : "WRONG: ", r->note, r->target && !r->note[0] ? r->target : "");
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

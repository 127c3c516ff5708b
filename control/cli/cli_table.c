/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli_table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void cell_put(struct cli_table *t, char *text)
{
	if (text && t->cells == t->size) {
		size_t size = t->size ? t->size * 2 : 64;
		char **p = realloc(t->cell, size * sizeof(*p));

		if (p) {
			t->cell = p;
			t->size = size;
		}
	}
	if (!text || t->cells == t->size) {
		t->failed = true;
		free(text);
		return;
	}
	t->cell[t->cells++] = text;
}

void cli_table_init(struct cli_table *t, const char *heads)
{
	memset(t, 0, sizeof(*t));
	while (*heads && t->columns < CLI_COLUMNS_MAX) {
		size_t len;

		if (*heads == '>') {
			t->right[t->columns] = true;
			heads++;
		}
		len = strcspn(heads, "|");
		t->columns++;
		cell_put(t, strndup(heads, len));
		heads += len + (heads[len] == '|');
	}
}

void cli_table_add(struct cli_table *t, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	cell_put(t, text);
}

/* Columns, not octets: names may be UTF-8. */
static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void row_print(const struct cli_table *t, const size_t *width, size_t row, FILE *out)
{
	for (size_t c = 0; c < t->columns; c++) {
		const char *s = t->cell[row * t->columns + c];
		int pad = (int)(width[c] - text_width(s));
		bool last = c + 1 == t->columns;

		if (t->right[c])
			fprintf(out, "%*s%s%s", pad, "", s, last ? "\n" : "  ");
		else
			fprintf(out, "%s%*s%s", s, last ? 0 : pad, "", last ? "\n" : "  ");
	}
}

void cli_table_print(struct cli_table *t, FILE *out, const char *none)
{
	size_t width[CLI_COLUMNS_MAX] = {0}, rows = t->columns ? t->cells / t->columns : 0;

	for (size_t i = 0; i < t->cells && !t->failed; i++) {
		size_t w = text_width(t->cell[i]);

		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	if (t->failed)
		fprintf(out, "out of memory\n");
	else if (rows < 2)
		fprintf(out, "%s\n", none);
	else
		for (size_t r = 0; r < rows; r++)
			row_print(t, width, r, out);
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	free(t->cell);
}

const char *cli_octets(uint64_t v, char buf[24])
{
	static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double d = (double)v / 1024;
	size_t u = 0;

	if (v < 1024) {
		snprintf(buf, 24, "%u B", (unsigned)v);
		return buf;
	}
	while (d >= 1023.95 && u < 5) {
		d /= 1024;
		u++;
	}
	snprintf(buf, 24, "%.1f %s", d, unit[u]);
	return buf;
}

const char *cli_duration(uint64_t us, char buf[24])
{
	uint64_t s = us / 1000000;

	if (us < 1000)
		snprintf(buf, 24, "%u us", (unsigned)us);
	else if (us < 1000000)
		snprintf(buf, 24, "%u ms", (unsigned)(us / 1000));
	else if (s < 60)
		snprintf(buf, 24, "%u.%u s", (unsigned)s, (unsigned)(us / 100000 % 10));
	else if (s < 3600)
		snprintf(buf, 24, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		snprintf(buf, 24, "%uh%02um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
	else
		snprintf(buf, 24, "%llud%02uh", (unsigned long long)(s / 86400),
			 (unsigned)(s / 3600 % 24));
	return buf;
}

const char *cli_count(uint64_t v, char buf[32])
{
	char digits[24];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v), k = 0;

	for (size_t i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			buf[k++] = ',';
		buf[k++] = digits[i];
	}
	buf[k] = '\0';
	return buf;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plain text for people: aligned columns, and numbers with their units.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_COLUMNS_MAX 16

/* Rows are collected, then printed with the width each column needs. */
struct cli_table {
	size_t columns, cells, size;
	char **cell;		     /* row by row; owned */
	bool right[CLI_COLUMNS_MAX]; /* numbers */
	bool failed;		     /* without memory: nothing is printed */
};

/* heads: titles separated by '|'; a title that begins with '>' makes a column of numbers. */
void cli_table_init(struct cli_table *t, const char *heads);
/* Next cell of the row under way, printf style. */
void cli_table_add(struct cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees. With no row only "none" (a sentence) is printed. */
void cli_table_print(struct cli_table *t, FILE *out, const char *none);

/* "0 B", "1023 B", "1.5 KiB", "64.0 MiB". Returns buf. */
const char *cli_octets(uint64_t v, char buf[24]);
/* "850 us", "1.2 s", "3m12s", "2h05m", "4d03h". Returns buf. */
const char *cli_duration(uint64_t us, char buf[24]);
/* "1,234,567". Returns buf. */
const char *cli_count(uint64_t v, char buf[32]);

#endif

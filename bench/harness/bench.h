/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Google Benchmark for C: benchmarks are C functions, registered with a name and
 * sets of integer arguments. The C++ side is bench_shim.cc and nothing else.
 *
 * A benchmark function is called several times in one run: with few iterations
 * to find out how many make up the time asked for, then once per repetition.
 * What is costly to set up belongs in memory that outlives the call.
 *
 *	static void bench_x(struct bench *b)
 *	{
 *		...set up, not timed...
 *		while (bench_batch(b, 64))
 *			for (unsigned i = 0; i < 64; i++)
 *				...timed...
 *		...check the outcome; bench_fail when it is wrong...
 *		bench_items(b, bench_iterations(b));
 *	}
 *
 * Time is measured by the time stamp counter around the timed part, so that
 * pausing costs some twenty cycles; its frequency is measured at start. Time the
 * kernel gave to other threads is taken off in proportion, and said. Every
 * benchmark reports nanoseconds and cycles per item and items or octets per
 * second.
 *
 * Threads: everything is called by the thread that called bench_main. A
 * benchmark may start threads of its own; they call nothing of this.
 */
#ifndef BENCH_HARNESS_BENCH_H
#define BENCH_HARNESS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_ARGS_MAX 4

/* Sanitizers and valgrind make everything slow: benchmarks use smaller tables then. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BENCH_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BENCH_SANITIZED 1
#endif
#endif
#ifndef BENCH_SANITIZED
#define BENCH_SANITIZED 0
#endif

struct bench; /* one call of a benchmark function */

typedef void (*bench_fn)(struct bench *b);

struct bench_def {
	const char *name; /* "stage/what"; the arguments are added: "stage/what/size=64" */
	bench_fn fn;
	const char *arg[BENCH_ARGS_MAX];      /* names of the arguments, NULL after the last */
	const int64_t (*set)[BENCH_ARGS_MAX]; /* nsets sets of values; NULL: runs once, without */
	unsigned nsets;
	const char *target; /* row of the table of targets its ns_per_item belongs to; NULL: none */
};

/* def and what it points at must stay. */
void bench_register(const struct bench_def *def);
/*
 * Runs what was registered. name: of the program's records ("micro"). Options, besides those of
 * Google Benchmark (--benchmark_filter=REGEX, --benchmark_list_tests, --benchmark_min_time=SECONDS,
 * --benchmark_repetitions=N, ...):
 *   --json FILE   appends one record per benchmark and metric to FILE (form: bench/README.md)
 *   --help        says all that
 * Without an option 5 repetitions of 0.1 s each are made. Returns the exit status: 0; 1 when a
 * benchmark failed or FILE cannot be written; 2 for a wrong option or a filter that nothing passes.
 */
int bench_main(int argc, char **argv, const char *name);
/* A parameter of every record of this program ("pages", "2M"). Both are copied. */
void bench_common_param(const char *key, const char *value);

/* Value of the i-th argument of this set. */
int64_t bench_arg(const struct bench *b, unsigned i);
/* Begins the timed part with the first call and ends it by returning false. n: what the caller does
 * before the next call counts as so many iterations; the same in every call. */
bool bench_batch(struct bench *b, uint64_t n);
/* Inside the timed part: what lies between is not measured. */
void bench_pause(struct bench *b);
void bench_resume(struct bench *b);
/* Iterations made in the timed part, a multiple of n. */
uint64_t bench_iterations(const struct bench *b);
/* After the timed part: how many items and octets it processed in all. Without items, iterations
 * count. bytes 0: no rate in octets. */
void bench_items(struct bench *b, uint64_t items);
void bench_bytes(struct bench *b, uint64_t bytes);
/* A figure of its own beside the times; strings are copied. higher: more is better. */
void bench_counter(struct bench *b, const char *metric, const char *unit, bool higher,
		   double value);
/* A parameter of this benchmark's records; both strings are copied. */
void bench_param(struct bench *b, const char *key, const char *value);
/* The outcome is wrong: the benchmark and the program fail with this sentence. The timed part ends
 * with the next bench_batch. The first one counts. */
void bench_fail(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool bench_failed(const struct bench *b);

/* The compiler must have calculated v, and must not believe to know what memory holds. */
#define bench_keep(v) __asm__ volatile("" : : "g"(v) : "memory")

#ifdef __cplusplus
}
#endif

#endif

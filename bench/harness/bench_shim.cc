// SPDX-License-Identifier: BSD-3-Clause
// The C++ side of bench.h: one state object per call, a reporter that prints a table and appends records.
#include "bench/harness/bench.h"

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <vector>

namespace {

using Params = std::map<std::string, std::string>;

struct Metric {
	std::string name, unit;
	bool higher;
	std::vector<double> samples;
};

// What all repetitions of one benchmark gave, beside what Google Benchmark keeps.
struct Result {
	const bench_def *def;
	const int64_t *set; // values of the arguments
	Params params;
	std::vector<Metric> metric;
	std::string failure;
};

std::map<std::string, Result> results; // by the benchmark's full name
Params common;
double tsc_hz;

uint64_t clock_ns()
{
	timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

// The two clocks are read together: of several tries the quickest tells their relation best.
void clock_pair(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 20; i++) {
		uint64_t before = __rdtsc(), n = clock_ns(), after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*tsc = before + best / 2;
			*ns = n;
		}
	}
}

void tsc_measure()
{
	uint64_t tsc[2] = {}, ns[2] = {};

	clock_pair(&tsc[0], &ns[0]);
	while (clock_ns() - ns[0] < 50000000)
		;
	clock_pair(&tsc[1], &ns[1]);
	tsc_hz = static_cast<double>(tsc[1] - tsc[0]) * 1e9 / static_cast<double>(ns[1] - ns[0]);
}

double thread_seconds()
{
	timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// Not before what precedes it has been done, as rdtscp would say without the fence behind it.
inline uint64_t tsc_fenced()
{
	_mm_lfence();
	return __rdtsc();
}

std::string quoted(const std::string &s)
{
	std::string out = "\"";
	char hex[8];

	for (char c : s) {
		if (c == '"' || c == '\\') {
			out += '\\';
			out += c;
		} else if (static_cast<unsigned char>(c) < 0x20) {
			snprintf(hex, sizeof(hex), "\\u%04x", c);
			out += hex;
		} else {
			out += c;
		}
	}
	return out + "\"";
}

double median(std::vector<double> v)
{
	size_t n = v.size();

	if (!n)
		return 0;
	std::sort(v.begin(), v.end());
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

} // namespace

struct bench {
	benchmark::State &state;
	Result &result;
	std::vector<Metric> metric; // of this call
	uint64_t cycles = 0, since = 0, items = 0, bytes = 0;
	uint64_t begin = 0;	      // the whole timed part, pauses included
	double cpu = 0, share = 1; // of it the thread ran
	bool running = false, failed = false;
};

namespace {

std::string full_name(const bench_def *d, const int64_t *set)
{
	std::string s = d->name;

	for (unsigned i = 0; i < BENCH_ARGS_MAX && d->arg[i] && set; i++)
		s += std::string("/") + d->arg[i] + "=" + std::to_string(set[i]);
	return s;
}

void add_sample(std::vector<Metric> &all, const std::string &name, const std::string &unit, bool higher, double v)
{
	for (Metric &m : all) {
		if (m.name == name) {
			m.samples.push_back(v);
			return;
		}
	}
	all.push_back({name, unit, higher, {v}});
}

void publish(benchmark::State &state, const char *name, double v)
{
	state.counters[name] = benchmark::Counter(v);
}

// One call of a benchmark function. What it measured travels in the counters of its run: calls that only look for the
// number of iterations pass here too, and the reporter sees the repetitions alone.
void call(benchmark::State &state, Result &result, bench_fn fn)
{
	bench b{state, result, {}};
	double items, cycles, ns;

	fn(&b);
	if (b.failed)
		return;
	if (!state.iterations()) {
		bench_fail(&b, "the benchmark returned without a timed part");
		return;
	}
	// What the kernel gave to others is taken off in proportion; a processor of one's own gives more than 0.99.
	cycles = static_cast<double>(b.cycles) * (b.share < 0.99 ? b.share : 1);
	ns = cycles * 1e9 / tsc_hz;
	items = static_cast<double>(b.items ? b.items : static_cast<uint64_t>(state.iterations()));
	publish(state, "ns_per_item", ns / items);
	publish(state, "cycles_per_item", cycles / items);
	if (b.bytes)
		publish(state, "bytes_per_second", static_cast<double>(b.bytes) * 1e9 / ns);
	else
		publish(state, "items_per_second", items * 1e9 / ns);
	publish(state, "share", b.share);
	for (const Metric &m : b.metric)
		publish(state, m.name.c_str(), m.samples[0]);
	result.metric = b.metric;
}

struct Kind {
	const char *name, *unit;
	bool higher;
};

const Kind kinds[] = {
	{"ns_per_item", "ns", false},
	{"cycles_per_item", "cycles", false},
	{"bytes_per_second", "B/s", true},
	{"items_per_second", "1/s", true},
};

class Reporter : public benchmark::BenchmarkReporter {
public:
	Reporter(const char *program, const char *path, FILE *out) : program_(program), path_(path), json_(out) {}

	bool ReportContext(const Context &) override
	{
		printf("%s: %.0f MHz time stamp counter", program_, tsc_hz / 1e6);
		for (const auto &p : common)
			printf(", %s %s", p.first.c_str(), p.second.c_str());
		printf("\n%-46s %10s %10s %12s %7s\n", "benchmark", "ns/item", "cycles", "rate", "spread");
		fflush(stdout);
		return true;
	}

	void ReportRuns(const std::vector<Run> &runs) override
	{
		Result *r = nullptr;
		std::string name;

		metric_.clear();
		share_ = 1;
		for (const Run &run : runs) {
			if (run.run_type != Run::RT_Iteration)
				continue;
			name = run.run_name.function_name;
			r = &results.at(name);
			if (run.error_occurred) {
				r->failure = run.error_message;
				continue;
			}
			take(r, run);
		}
		if (!r)
			return;
		count++;
		failed += !r->failure.empty();
		print(name, *r);
		if (json_)
			write(name, *r);
	}

	unsigned count = 0, failed = 0;
	bool broken = false;

private:
	const char *program_, *path_;
	FILE *json_;
	std::vector<Metric> metric_;
	double share_; // the least of the samples

	void take(Result *r, const Run &run)
	{
		auto share = run.counters.find("share");

		if (share != run.counters.end())
			share_ = std::min(share_, share->second.value);
		for (const Kind &k : kinds) {
			auto at = run.counters.find(k.name);

			if (at != run.counters.end())
				add_sample(metric_, k.name, k.unit, k.higher, at->second.value);
		}
		for (const Metric &m : r->metric) {
			auto at = run.counters.find(m.name);

			if (at != run.counters.end())
				add_sample(metric_, m.name, m.unit, m.higher, at->second.value);
		}
	}

	const Metric *find(const char *name) const
	{
		for (const Metric &m : metric_) {
			if (m.name == name)
				return &m;
		}
		return nullptr;
	}

	static std::string rate(const Metric &m)
	{
		static const char *const prefix[] = {"", "k", "M", "G", "T"};
		double v = median(m.samples);
		unsigned i = 0;
		const char *unit = m.unit == "1/s" ? "/s" : m.unit.c_str();
		char text[40];

		for (; v >= 1000 && i < 4; i++)
			v /= 1000;
		snprintf(text, sizeof(text), "%.2f %s%s", v, prefix[i], unit);
		return text;
	}

	void print(const std::string &name, const Result &r)
	{
		if (!r.failure.empty()) {
			printf("%-46s FAILED: %s\n", name.c_str(), r.failure.c_str());
		} else {
			const Metric *ns = find("ns_per_item"), *cycles = find("cycles_per_item");
			const Metric *per = find("bytes_per_second");
			auto ends = std::minmax_element(ns->samples.begin(), ns->samples.end());
			double mid = median(ns->samples);

			printf("%-46s %10.2f %10.1f %12s %6.1f%%", name.c_str(), mid, median(cycles->samples),
			       rate(per ? *per : *find("items_per_second")).c_str(),
			       mid > 0 ? (*ends.second - *ends.first) * 100 / mid : 0);
			for (const Metric &m : r.metric)
				printf("  %s %.10g %s", m.name.c_str(), median(find(m.name.c_str())->samples),
				       m.unit.c_str());
			printf("%s\n", note(r).empty() ? "" : ("  (" + note(r) + ")").c_str());
		}
		fflush(stdout);
	}

	static std::string params(const Result &r)
	{
		Params all;
		std::string out;

		for (unsigned i = 0; i < BENCH_ARGS_MAX && r.def->arg[i] && r.set; i++)
			all[r.def->arg[i]] = std::to_string(r.set[i]);
		for (const auto &p : r.params)
			all[p.first] = quoted(p.second);
		for (const auto &p : common)
			all[p.first] = quoted(p.second);
		for (const auto &p : all)
			out += (out.empty() ? "" : ", ") + quoted(p.first) + ": " + p.second;
		return "{" + out + "}";
	}

	// What a reader of the figure has to know.
	std::string note(const Result &r) const
	{
		char text[80];

		if (!r.failure.empty() || share_ >= 0.95)
			return r.failure;
		snprintf(text, sizeof(text), "processor shared: up to %.0f %% of a sample's time taken off",
			 (1 - share_) * 100);
		return text;
	}

	void record(const std::string &name, const Result &r, const Metric &m)
	{
		std::string samples;
		char number[40];
		bool goal = r.def->target && m.name == "ns_per_item";

		for (double v : m.samples) {
			snprintf(number, sizeof(number), "%s%.10g", samples.empty() ? "" : ", ", v);
			samples += number;
		}
		fprintf(json_,
			"{\"bench\": %s, \"name\": %s, \"metric\": %s, \"unit\": %s, \"better\": \"%s\", "
			"\"samples\": [%s], \"params\": %s, \"target\": %s, \"ok\": %s, \"note\": %s}\n",
			quoted(program_).c_str(), quoted(name).c_str(), quoted(m.name).c_str(), quoted(m.unit).c_str(),
			m.higher ? "higher" : "lower", samples.c_str(), params(r).c_str(),
			quoted(goal ? r.def->target : "").c_str(), r.failure.empty() ? "true" : "false",
			quoted(note(r)).c_str());
	}

	void write(const std::string &name, const Result &r)
	{
		if (!r.failure.empty())
			record(name, r, {"ns_per_item", "ns", false, {}});
		else
			for (const Metric &m : metric_)
				record(name, r, m);
		if (fflush(json_) != 0 && !broken) {
			fprintf(stderr, "%s: cannot write to %s: %s\n", program_, path_, strerror(errno));
			broken = true;
		}
	}
};

void usage(const char *program)
{
	printf("usage: opes-bench-%s [OPTION...]\n\n"
	       "  --json FILE                       append one record per benchmark and metric to FILE\n"
	       "  --benchmark_list_tests            names of all benchmarks\n"
	       "  --benchmark_filter=REGEX          only those; -REGEX: all others\n"
	       "  --benchmark_repetitions=N         samples of each, 5 if not given\n"
	       "  --benchmark_min_time=SECONDS      of each sample, 0.1 if not given\n"
	       "  --benchmark_enable_random_interleaving=true\n"
	       "                                    samples of different benchmarks in turn\n"
	       "Exit status 0, 1 when a benchmark found a wrong outcome, 2 when it was called wrongly.\n",
	       program);
}

// Removes --json FILE and --json=FILE; false: the file's name is missing.
bool take_json(std::vector<char *> &args, const char **file)
{
	for (size_t i = 1; i < args.size();) {
		if (!strncmp(args[i], "--json=", 7)) {
			*file = args[i] + 7;
			args.erase(args.begin() + static_cast<long>(i));
		} else if (!strcmp(args[i], "--json")) {
			if (i + 1 == args.size())
				return false;
			*file = args[i + 1];
			args.erase(args.begin() + static_cast<long>(i), args.begin() + static_cast<long>(i) + 2);
		} else {
			i++;
		}
	}
	return true;
}

} // namespace

void bench_register(const struct bench_def *d)
{
	for (unsigned i = 0; i < (d->set ? d->nsets : 1); i++) {
		const int64_t *set = d->set ? d->set[i] : nullptr;
		std::string name = full_name(d, set);
		Result &r = results.emplace(name, Result{d, set, {}, {}, {}}).first->second;

		benchmark::RegisterBenchmark(name.c_str(),
					     [&r, d](benchmark::State &state) { call(state, r, d->fn); });
	}
}

int bench_main(int argc, char **argv, const char *name)
{
	std::vector<char *> args(argv, argv + argc);
	char reps[] = "--benchmark_repetitions=5", least[] = "--benchmark_min_time=0.1";
	const char *file = nullptr;
	FILE *json = nullptr;
	size_t ran;
	int n;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			usage(name);
			return 0;
		}
	}
	if (!take_json(args, &file)) {
		fprintf(stderr, "%s: --json needs the name of a file\n", name);
		return 2;
	}
	// Of two the later one counts: the caller's.
	args.insert(args.begin() + 1, {reps, least});
	n = static_cast<int>(args.size());
	args.push_back(nullptr);
	benchmark::Initialize(&n, args.data());
	if (benchmark::ReportUnrecognizedArguments(n, args.data()))
		return 2;
	if (file && !(json = fopen(file, "a"))) {
		fprintf(stderr, "%s: cannot open %s: %s\n", name, file, strerror(errno));
		return 1;
	}
	tsc_measure();
	Reporter reporter(name, file, json);
	ran = benchmark::RunSpecifiedBenchmarks(&reporter);
	benchmark::Shutdown();
	if (json && fclose(json) != 0 && !reporter.broken) {
		fprintf(stderr, "%s: cannot write to %s: %s\n", name, file, strerror(errno));
		reporter.broken = true;
	}
	if (!ran)
		return 2;
	if (reporter.failed)
		printf("%u of %u benchmarks FAILED\n", reporter.failed, reporter.count);
	return reporter.failed || reporter.broken ? 1 : 0;
}

void bench_common_param(const char *key, const char *value)
{
	common[key] = value;
}

int64_t bench_arg(const struct bench *b, unsigned i)
{
	return b->result.set[i];
}

bool bench_batch(struct bench *b, uint64_t n)
{
	if (b->running) {
		uint64_t now = tsc_fenced();

		if (b->state.KeepRunningBatch(static_cast<benchmark::IterationCount>(n)))
			return true;
		b->cycles += now - b->since;
		b->share = (thread_seconds() - b->cpu) * tsc_hz / static_cast<double>(now - b->begin);
		b->running = false;
		return false;
	}
	if (!b->state.KeepRunningBatch(static_cast<benchmark::IterationCount>(n)))
		return false;
	b->running = true;
	b->cpu = thread_seconds();
	b->begin = b->since = tsc_fenced();
	return true;
}

void bench_pause(struct bench *b)
{
	b->cycles += tsc_fenced() - b->since;
}

void bench_resume(struct bench *b)
{
	b->since = tsc_fenced();
}

uint64_t bench_iterations(const struct bench *b)
{
	return static_cast<uint64_t>(b->state.iterations());
}

void bench_items(struct bench *b, uint64_t items)
{
	b->items = items;
}

void bench_bytes(struct bench *b, uint64_t bytes)
{
	b->bytes = bytes;
}

void bench_counter(struct bench *b, const char *metric, const char *unit, bool higher, double value)
{
	add_sample(b->metric, metric, unit, higher, value);
}

void bench_param(struct bench *b, const char *key, const char *value)
{
	b->result.params[key] = value;
}

void bench_fail(struct bench *b, const char *format, ...)
{
	char text[256];
	va_list ap;

	if (b->failed)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	b->failed = true;
	b->state.SkipWithError(text);
}

bool bench_failed(const struct bench *b)
{
	return b->failed;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* flows show: a flow in full as text, both sides beside each other. */
#include "cli/cli.h"

#include <string.h>

#include "cli/cli_table.h"

#define CELL 160

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : "-";
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static bool truth(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* "12,345", "-" where there is none. */
static const char *count(const json_t *o, const char *key, char buf[32])
{
	return json_is_integer(json_object_get(o, key)) ? cli_count(number(o, key), buf) : "-";
}

/* "1.203 ms", "-" for 0, which is not measured. */
static const char *millis(const json_t *o, const char *key, char buf[32])
{
	uint64_t us = number(o, key);

	if (!us)
		return "-";
	snprintf(buf, 32, "%llu.%03u ms", (unsigned long long)(us / 1000), (unsigned)(us % 1000));
	return buf;
}

/* --- TCP ------------------------------------------------------------------------------------------- */

typedef void (*cell_fn)(const json_t *o, char out[CELL]);

#define PLAIN(name, key)                                                                                               \
	static void name(const json_t *o, char out[CELL])                                                              \
	{                                                                                                              \
		/* sequence numbers are written as they are compared with a capture */                                 \
		snprintf(out, CELL, "%llu", (unsigned long long)number(o, key));                                       \
	}
PLAIN(snd_una, "snd_una")
PLAIN(snd_nxt, "snd_nxt")
PLAIN(rcv_nxt, "rcv_nxt")

static void state(const json_t *o, char out[CELL])
{
	snprintf(out, CELL, "%s", text(o, "state"));
}

static void ends(const json_t *o, char out[CELL])
{
	bool rx = truth(o, "rx_finished"), tx = truth(o, "tx_finished");

	snprintf(out, CELL, "%s", rx && tx ? "received and sent" : rx ? "received" : tx ? "sent" : "-");
}

static void window(const json_t *o, const char *key, const char *scale, char out[CELL])
{
	char a[32];

	snprintf(out, CELL, "%s, scale %u", count(o, key, a), (unsigned)number(o, scale));
}

static void peer_window(const json_t *o, char out[CELL])
{
	window(o, "snd_wnd", "snd_wscale", out);
}

static void our_window(const json_t *o, char out[CELL])
{
	window(o, "rcv_wnd", "rcv_wscale", out);
}

static void congestion(const json_t *o, char out[CELL])
{
	snprintf(out, CELL, "%s, %s", text(o, "cc"), text(o, "ca"));
}

static void cwnd(const json_t *o, char out[CELL])
{
	uint64_t mss = number(o, "mss");
	char a[32];

	snprintf(out, CELL, "%s (%llu segments)", count(o, "cwnd", a),
		 (unsigned long long)(mss ? number(o, "cwnd") / mss : 0));
}

static void ssthresh(const json_t *o, char out[CELL])
{
	char a[32];

	snprintf(out, CELL, "%s", count(o, "ssthresh", a));
}

static void in_flight(const json_t *o, char out[CELL])
{
	char a[32];

	snprintf(out, CELL, "%s", count(o, "pipe", a));
}

static void rtt(const json_t *o, char out[CELL])
{
	char a[32], b[32], c[32];

	snprintf(out, CELL, "%s, +-%s, min %s", millis(o, "srtt_us", a), millis(o, "rttvar_us", b),
		 millis(o, "min_rtt_us", c));
}

static void rto(const json_t *o, char out[CELL])
{
	unsigned backoff = (unsigned)number(o, "backoff");
	char a[32];
	int n = snprintf(out, CELL, "%s", millis(o, "rto_us", a));

	if (backoff)
		snprintf(out + n, CELL - (size_t)n, ", doubled %u time%s", backoff, backoff == 1 ? "" : "s");
}

static void mss(const json_t *o, char out[CELL])
{
	snprintf(out, CELL, "%u out, %u in", (unsigned)number(o, "mss"), (unsigned)number(o, "rcv_mss"));
}

static void resent(const json_t *o, char out[CELL])
{
	char a[32], b[32], c[32];

	snprintf(out, CELL, "%s, timeouts %s, undone %s", count(o, "retrans", a), count(o, "rtos", b),
		 count(o, "undos", c));
}

static void sack(const json_t *o, char out[CELL])
{
	char a[32], b[32], c[32];

	if (truth(o, "sack"))
		snprintf(out, CELL, "sacked %s, lost %s, reordering %s", count(o, "sacked", a), count(o, "lost", b),
			 millis(o, "reo_wnd_us", c));
	else
		snprintf(out, CELL, "off, lost %s", count(o, "lost", b));
}

static void send_queue(const json_t *o, char out[CELL])
{
	char a[32], b[32];

	snprintf(out, CELL, "unsent %s, unacked %s", count(o, "unsent", a), count(o, "unacked", b));
}

static void receive_queue(const json_t *o, char out[CELL])
{
	char a[32];

	snprintf(out, CELL, "%s", count(o, "rxq", a));
}

static void out_of_order(const json_t *o, char out[CELL])
{
	char a[32], b[32];

	snprintf(out, CELL, "%s in %s range%s", count(o, "ooo_bytes", a), count(o, "ooo_ranges", b),
		 number(o, "ooo_ranges") == 1 ? "" : "s");
}

static void timer(const json_t *o, char out[CELL])
{
	char a[24];

	if (json_is_integer(json_object_get(o, "timer_us")))
		snprintf(out, CELL, "%s in %s", text(o, "timer"), cli_duration(number(o, "timer_us"), a));
	else
		snprintf(out, CELL, "-");
}

/* --- messages -------------------------------------------------------------------------------------- */

static void mode(const json_t *o, char out[CELL])
{
	snprintf(out, CELL, "%s%s", text(o, "mode"), truth(o, "eof") ? ", ended" : "");
}

static void under_way(const json_t *o, char out[CELL])
{
	if (truth(o, "begun"))
		snprintf(out, CELL, "%s%s", text(o, "route"), truth(o, "left") ? ", the service has left" : "");
	else
		snprintf(out, CELL, "-");
}

static void rule(const json_t *o, char out[CELL])
{
	snprintf(out, CELL, "%s", text(o, "rule"));
}

static void service(const json_t *o, char out[CELL])
{
	snprintf(out, CELL, "%s", text(o, "service"));
}

static void identity(const json_t *o, char out[CELL])
{
	char a[32];

	snprintf(out, CELL, "%s%s", count(o, "identity", a),
		 json_is_integer(json_object_get(o, "identity")) && !truth(o, "identity_ok") ? ", ended" : "");
}

#define COUNT(name, key)                                                                                               \
	static void name(const json_t *o, char out[CELL])                                                              \
	{                                                                                                              \
		char a[32];                                                                                            \
                                                                                                                       \
		snprintf(out, CELL, "%s", count(o, key, a));                                                           \
	}
COUNT(messages, "messages")
COUNT(octets, "octets")
COUNT(offset, "offset")
COUNT(sent, "sent")
COUNT(preserved, "preserved")
COUNT(returned, "returned")
COUNT(waiting, "out")
COUNT(unread, "raw")

/* --- the whole ------------------------------------------------------------------------------------- */

struct line {
	const char *label;
	cell_fn cell;
};

static const struct line half_line[] = {
	{"state", state},
	{"ends of stream", ends},
	{"snd_una", snd_una},
	{"snd_nxt", snd_nxt},
	{"rcv_nxt", rcv_nxt},
	{"peer's window", peer_window},
	{"our window", our_window},
	{"congestion control", congestion},
	{"cwnd", cwnd},
	{"ssthresh", ssthresh},
	{"in flight", in_flight},
	{"rtt", rtt},
	{"rto", rto},
	{"mss", mss},
	{"retransmitted", resent},
	{"sack", sack},
	{"send queue", send_queue},
	{"receive queue", receive_queue},
	{"out of order", out_of_order},
	{"timer", timer},
};

static const struct line pipe_line[] = {
	{"mode", mode},
	{"messages", messages},
	{"octets", octets},
	{"not in a message yet", unread},
	{"message under way", under_way},
	{"  rule", rule},
	{"  service", service},
	{"  received", offset},
	{"  sent to service", sent},
	{"  preserved", preserved},
	{"  returned", returned},
	{"  identity prefix", identity},
	{"  waits to be sent", waiting},
};

/* The element of list whose key is value. */
static const json_t *element(const json_t *list, const char *key, const char *value)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o) if (strcmp(text(o, key), value) == 0) return o;
	return NULL;
}

static void lines_print(const char *heads, const struct line *line, size_t n, const json_t *list, const char *key,
			FILE *out)
{
	const json_t *side[2] = {element(list, key, "client"), element(list, key, "server")};
	struct cli_table t;
	char cell[CELL];

	cli_table_init(&t, heads);
	for (size_t i = 0; i < n; i++) {
		cli_table_add(&t, "%s", line[i].label);
		for (unsigned k = 0; k < 2; k++) {
			snprintf(cell, sizeof(cell), "-");
			if (side[k])
				line[i].cell(side[k], cell);
			cli_table_add(&t, "%s", cell);
		}
	}
	cli_table_print(&t, out, "");
}

static void head_print(const json_t *r, FILE *out)
{
	char a[24], b[24];
	uint64_t n = number(r, "requests_unanswered");

	fprintf(out, "flow %s: client %s at port %s, server %s, worker %llu\n", text(r, "flow"), text(r, "client"),
		text(r, "client_port"), text(r, "server"), (unsigned long long)number(r, "worker"));
	fprintf(out, "%s, %s, age %s, idle %s, rules of generation %llu", text(r, "state"), text(r, "protocol"),
		cli_duration(number(r, "age_us"), a), cli_duration(number(r, "idle_us"), b),
		(unsigned long long)number(r, "generation"));
	if (n)
		fprintf(out, ", %llu request%s unanswered", (unsigned long long)n, n == 1 ? "" : "s");
	fputc('\n', out);
}

void cli_render_flow(const json_t *r, FILE *out)
{
	const json_t *halves = json_object_get(r, "halves"), *directions = json_object_get(r, "directions");

	head_print(r, out);
	if (truth(r, "joined"))
		fprintf(out, "joined: segments go from end to end; sequence numbers of the client %+lld, of the server %+lld\n",
			(long long)number(r, "delta_from_client"), (long long)number(r, "delta_from_server"));
	else if (!json_array_size(halves))
		fprintf(out, "no TCP halves: the handshake passes between the ends\n");
	if (json_array_size(halves)) {
		fputc('\n', out);
		lines_print("TCP|TOWARDS CLIENT|TOWARDS SERVER", half_line, sizeof(half_line) / sizeof(half_line[0]),
			    halves, "towards", out);
	}
	if (json_array_size(directions)) {
		fputc('\n', out);
		lines_print("MESSAGES|FROM CLIENT|FROM SERVER", pipe_line, sizeof(pipe_line) / sizeof(pipe_line[0]),
			    directions, "from", out);
	}
}

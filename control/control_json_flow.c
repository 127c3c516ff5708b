/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON views of flows: a row of the listing, and one flow in full. */
#include "control_json.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "stats/shm.h"

#define FIELD(s) control_json_text((s), sizeof(s))
#define INT(v) json_integer((json_int_t)(v))

/* "192.0.2.1:80" or "[2001:db8::1]:80". */
static json_t *endpoint(const uint8_t addr[16], uint16_t port)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char ip[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 10];

	if (memcmp(addr, mapped, sizeof(mapped)) == 0) {
		inet_ntop(AF_INET, addr + 12, ip, sizeof(ip));
		snprintf(text, sizeof(text), "%s:%u", ip, port);
	} else {
		inet_ntop(AF_INET6, addr, ip, sizeof(ip));
		snprintf(text, sizeof(text), "[%s]:%u", ip, port);
	}
	return json_string(text);
}

json_t *control_json_flow(const struct shm_flow_row *r, unsigned worker)
{
	char name[20];
	json_t *o;

	snprintf(name, sizeof(name), "%" PRIx64, r->id);
	o = json_pack("{s:s, s:I, s:i, s:o, s:o, s:o, s:o, s:o}", "flow", name, "id", (json_int_t)r->id, "worker",
		      (int)worker, "client", endpoint(r->client, r->client_port), "server",
		      endpoint(r->server, r->server_port), "state", FIELD(r->state), "protocol", FIELD(r->protocol),
		      "rule", FIELD(r->rule));
	json_object_set_new(o, "octets_from_client", INT(r->octets[0]));
	json_object_set_new(o, "octets_from_server", INT(r->octets[1]));
	json_object_set_new(o, "messages_from_client", INT(r->messages[0]));
	json_object_set_new(o, "messages_from_server", INT(r->messages[1]));
	json_object_set_new(o, "preserved", INT(r->preserved));
	json_object_set_new(o, "txns", INT(r->txns));
	json_object_set_new(o, "age_us", INT(r->age_us));
	json_object_set_new(o, "idle_us", INT(r->idle_us));
	return o;
}

/* --- one flow in full ---------------------------------------------------------------------------- */

enum kind {
	TEXT,
	TRUTH,
	NUMBER,
	MAYBE, /* all ones: does not apply, or nobody knows; null */
};

/* One key of the JSON and where its value is. */
struct key {
	const char *name;
	enum kind kind;
	size_t offset, size;
};
#define KEY(type, k, f) {#f, k, offsetof(struct type, f), sizeof(((struct type *)0)->f)}

static const struct key half_key[] = {
#define HALF(k, f) KEY(shm_half_detail, k, f)
	HALF(TEXT, state),	  HALF(NUMBER, snd_una),    HALF(NUMBER, snd_nxt),    HALF(NUMBER, rcv_nxt),
	HALF(NUMBER, snd_wnd),	  HALF(NUMBER, rcv_wnd),    HALF(NUMBER, snd_wscale), HALF(NUMBER, rcv_wscale),
	HALF(TEXT, cc),		  HALF(TEXT, ca),	    HALF(NUMBER, cwnd),	      HALF(MAYBE, ssthresh),
	HALF(NUMBER, srtt_us),	  HALF(NUMBER, rttvar_us),  HALF(NUMBER, min_rtt_us), HALF(NUMBER, rto_us),
	HALF(NUMBER, backoff),	  HALF(NUMBER, mss),	    HALF(NUMBER, rcv_mss),    HALF(NUMBER, retrans),
	HALF(NUMBER, rtos),	  HALF(NUMBER, undos),	    HALF(TRUTH, sack),	      HALF(NUMBER, pipe),
	HALF(NUMBER, sacked),	  HALF(NUMBER, lost),	    HALF(NUMBER, reo_wnd_us), HALF(NUMBER, unsent),
	HALF(NUMBER, unacked),	  HALF(NUMBER, rxq),	    HALF(NUMBER, ooo_bytes),  HALF(NUMBER, ooo_ranges),
	HALF(TEXT, timer),	  HALF(MAYBE, timer_us),   HALF(TRUTH, rx_finished), HALF(TRUTH, tx_finished),
#undef HALF
};

static const struct key pipe_key[] = {
#define PIPE(k, f) KEY(shm_pipe_detail, k, f)
	PIPE(TEXT, mode),	  PIPE(NUMBER, messages), PIPE(NUMBER, octets),	   PIPE(TRUTH, begun),
	PIPE(TEXT, route),	  PIPE(TEXT, rule),	  PIPE(TEXT, service),	   PIPE(NUMBER, generation),
	PIPE(MAYBE, offset),	  PIPE(MAYBE, sent),	  PIPE(MAYBE, preserved), PIPE(MAYBE, returned),
	PIPE(MAYBE, identity),	  PIPE(TRUTH, identity_ok), PIPE(TRUTH, left),	   PIPE(MAYBE, out),
	PIPE(NUMBER, raw),	  PIPE(TRUTH, eof),
#undef PIPE
};

static json_t *number(const void *p, size_t size, bool maybe)
{
	uint64_t wide;
	uint32_t word;

	switch (size) {
	case sizeof(wide):
		memcpy(&wide, p, size);
		return maybe && wide == SHM_UNKNOWN ? json_null() : INT(wide);
	case sizeof(word):
		memcpy(&word, p, size);
		return maybe && word == SHM_UNKNOWN32 ? json_null() : INT(word);
	default:
		return INT(*(const uint8_t *)p);
	}
}

static void keys_set(json_t *o, const void *base, const struct key *k, size_t n)
{
	for (; n--; k++) {
		const char *p = (const char *)base + k->offset;

		json_object_set_new(o, k->name,
				    k->kind == TEXT    ? control_json_text(p, k->size)
				    : k->kind == TRUTH ? json_boolean(*p)
						       : number(p, k->size, k->kind == MAYBE));
	}
}
#define KEYS_SET(o, base, table) keys_set(o, base, table, sizeof(table) / sizeof((table)[0]))

json_t *control_json_flow_detail(const struct shm_flow_detail *d, unsigned worker, const struct shm_root *root)
{
	static const char *const end[] = {"client", "server"};
	json_t *o = control_json_flow(&d->row, worker), *halves = json_array(), *directions = json_array();

	json_object_set_new(o, "generation", INT(d->generation));
	json_object_set_new(o, "client_port", FIELD(root->port[d->client_port & 1].name));
	json_object_set_new(o, "requests_unanswered", INT(d->xchgs));
	json_object_set_new(o, "joined", json_boolean(d->joined));
	/* As a signed number: octets that have come in addition, or are gone. */
	for (unsigned i = 0; d->joined && i < 2; i++)
		json_object_set_new(o, i ? "delta_from_server" : "delta_from_client", INT((int32_t)d->delta[i]));
	for (unsigned i = 0; i < 2; i++) {
		json_t *half = json_pack("{s:s}", "towards", end[i]), *pipe = json_pack("{s:s}", "from", end[i]);

		if (d->half[i].present) {
			KEYS_SET(half, &d->half[i], half_key);
			json_array_append_new(halves, half);
		} else {
			json_decref(half);
		}
		if (d->pipe[i].mode[0]) {
			KEYS_SET(pipe, &d->pipe[i], pipe_key);
			json_array_append_new(directions, pipe);
		} else {
			json_decref(pipe);
		}
	}
	json_object_set_new(o, "halves", halves);
	json_object_set_new(o, "directions", directions);
	return o;
}

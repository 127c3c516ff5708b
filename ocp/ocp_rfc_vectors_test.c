/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every example of RFC 4037 and RFC 4236, as octets of the wire: what stands there in valid format
 * must be read, and what the documents print wrongly must be malformed, next to its corrected form.
 * Rendering is undone (RFC 4037 section 3.2: soft line breaks, spaces inside brackets, a semicolon
 * behind the last named parameter or on a line of its own behind an anonymous one).
 */
#include "ocp/ocp_codec_bench.h"

#define L "\r\n"
#define TLS "http://www.iana.org/assignments/opes/ocp/tls"
#define REQ "\"53:http://www.iana.org/assignments/opes/ocp/http/request\""
#define RESP "\"54:http://www.iana.org/assignments/opes/ocp/http/response\""
#define U_REQ "=[http://www.iana.org/assignments/opes/ocp/http/request]"
#define U_RESP "=[http://www.iana.org/assignments/opes/ocp/http/response]"

struct example {
	const char *where; /* and what is wrong there */
	const char *wire;
	const char *events; /* without payload and ends; NULL: malformed */
	enum ocp_bad bad;
};

static const struct example core[] = {
	{"4037 3.3", "PQ;" L, "PQ\n", 0},
	{"4037 3.3", "TS 1 2;" L, "TS xid=1 sg=2\n", 0},
	{"4037 3.3", "DWM 22;" L, "DWM xid=22\n", 0},
	{"4037 3.3", "DWP 22 16;" L, "DWP xid=22 offset=16\n", 0},
	{"4037 3.3", "x-doit \"5:xyzzy\";" L, "unknown name=[x-doit] unknown=1\n", 0},
	{"4037 3.3 length 32", "NO ({\"32:" TLS "\"});" L, NULL, OCP_BAD_QUOTE},
	{"4037 3.3", "NO ({\"44:" TLS "\"});" L, "NO features=1( =[" TLS "] )\n", 0},
	{"4037 3.3",
	 "NO ({" RESP L "Optional-Parts: (request-header)" L "},{" RESP L
	 "Optional-Parts: (request-header,request-body)" L "Transfer-Encodings: (chunked)" L "});" L,
	 "NO features=2( " U_RESP " more=[\\0d\\0aOptional-Parts: (request-header)\\0d\\0a] " U_RESP
	 " more=[\\0d\\0aOptional-Parts: (request-header,request-body)\\0d\\0a"
	 "Transfer-Encodings: (chunked)\\0d\\0a] )\n",
	 0},
	{"4037 3.3",
	 "DWM 1 3" L "Size-Request: 16384" L "X-Need-Info: \"26:twenty six octet extension\"" L ";" L,
	 "DWM xid=1 size-request=16384 unknown=2\n", 0},
	{"4037 3.3 semicolon behind a named parameter",
	 "DWM 1 3" L "Size-Request: 16384" L "X-Need-Info: \"26:twenty six octet extension\";" L,
	 NULL, OCP_BAD_OCTET},
	{"4037 4 no service group", "TS 10;" L, NULL, OCP_BAD_MISSING},
	{"4037 4", "TS 10 1;" L, "TS xid=10 sg=1\n", 0},
	{"4037 4 am-id, an extension", "AMS 10 1;" L, "AMS xid=10 unknown=1\n", 0},
	{"4037 4", "AMS 10;" L, "AMS xid=10\n", 0},
	{"4037 4 am-id before the result", "AME 10 1 result;" L, NULL, OCP_BAD_TYPE},
	{"4037 4", "AME 10 {200};" L, "AME xid=10 result=200 reason=[]\n", 0},
	{"4037 4 result is no structure", "TE 10 result;" L, NULL, OCP_BAD_TYPE},
	{"4037 4", "TE 10 {200};" L, "TE xid=10 result=200 reason=[]\n", 0},
	{"4037 6.2", "NO ();" L, "NO features=0( )\n", 0},
	{"4037 6.2", "NR;" L, "NR\n", 0},
	{"4037 6.2", "NR" L "Offer-Pending: true" L ";" L, "NR offer-pending\n", 0},
	{"4037 6.2", "NO ({\"22:ocp://feature/example/\"})" L "Offer-Pending: false" L ";" L,
	 "NO features=1( =[ocp://feature/example/] )\n", 0},
	{"4037 6.2", "NR {\"22:ocp://feature/example/\"};" L,
	 "NR feature=[ocp://feature/example/] more=[]\n", 0},
	{"4037 6.2 semicolon on its own line", "NO ({\"29:ocp://example/encryption/weak\"})" L ";" L,
	 NULL, OCP_BAD_OCTET},
	{"4037 6.2", "NO ({\"29:ocp://example/encryption/weak\"});" L,
	 "NO features=1( =[ocp://example/encryption/weak] )\n", 0},
	{"4037 6.2 soft line break",
	 "NO ({\"32:ocp://example/encryption/strongA\"},\\" L
	 "{\"32:ocp://example/encryption/strongB\"})" L "Offer-Pending: true" L ";" L,
	 NULL, OCP_BAD_OCTET},
	{"4037 6.2",
	 "NO ({\"32:ocp://example/encryption/strongA\"},{\"32:ocp://example/encryption/strongB\"})" L
	 "Offer-Pending: true" L ";" L,
	 "NO offer-pending features=2( =[ocp://example/encryption/strongA] "
	 "=[ocp://example/encryption/strongB] )\n", 0},
	{"4037 6.2", "NR {\"32:ocp://example/encryption/strongB\"};" L,
	 "NR feature=[ocp://example/encryption/strongB] more=[]\n", 0},
	{"4037 6.2 length 31", "NO ({\"31:ocp://example/storage/volatile\"})" L "Offer-Pending: false" L
	 ";" L, NULL, OCP_BAD_QUOTE},
	{"4037 6.2", "NO ({\"30:ocp://example/storage/volatile\"})" L "Offer-Pending: false" L ";" L,
	 "NO features=1( =[ocp://example/storage/volatile] )\n", 0},
	{"4037 6.2 length 31", "NR" L "Unknowns: ({\"31:ocp://example/storage/volatile\"})" L ";" L,
	 NULL, OCP_BAD_QUOTE},
	{"4037 6.2", "NR" L "Unknowns: ({\"30:ocp://example/storage/volatile\"})" L ";" L,
	 "NR unknowns=1( =[ocp://example/storage/volatile] )\n", 0},
	{"4037 6.2 spaces inside brackets",
	 "CSE { 400 \"33:lack of VolStore protocol support\" };" L, NULL, OCP_BAD_OCTET},
	{"4037 6.2 CSE is no message", "CSE {400 \"33:lack of VolStore protocol support\"};" L,
	 "unknown name=[CSE] unknown=1\n", 0},
	{"4037 6.2", "CE {400 \"33:lack of VolStore protocol support\"};" L,
	 "CE result=400 reason=[lack of VolStore protocol support]\n", 0},
	{"4037 6.2",
	 "NO ({" RESP L "Aux-Parts: (request-header,request-body)" L "})" L "SG: 5" L ";" L,
	 "NO sg=5 features=1( " U_RESP
	 " more=[\\0d\\0aAux-Parts: (request-header,request-body)\\0d\\0a] )\n", 0},
	{"4037 6.2 semicolon behind a named parameter",
	 "NO ({" RESP L "Aux-Parts: (request-header,request-body)" L "})" L "SG: 5;" L, NULL,
	 OCP_BAD_OCTET},
	{"4037 6.2",
	 "NR {" RESP L "Aux-Parts: (request-header)" L "Pause-At-Body: 30" L
	 "Wont-Send-Body: 2147483647" L "Content-Encodings: (gzip)" L "}" L "SG: 5" L ";" L,
	 "NR sg=5 feature" U_RESP " more=[\\0d\\0aAux-Parts: (request-header)\\0d\\0a"
	 "Pause-At-Body: 30\\0d\\0aWont-Send-Body: 2147483647\\0d\\0aContent-Encodings: "
	 "(gzip)\\0d\\0a]\n", 0},
	{"4037 10.10", "TE 1 {200 OK};" L, "TE xid=1 result=200 reason=[OK]\n", 0},
	{"4037 10.10 spaces inside brackets", "TE 1 { 200 OK };" L, NULL, OCP_BAD_OCTET},
	{"4037 10.10", "TE 1 {200 \"6:got it\"};" L, "TE xid=1 result=200 reason=[got it]\n", 0},
	{"4037 10.10", "TE 1 {200 \"27:27 octets in UTF-8 encoding\"};" L,
	 "TE xid=1 result=200 reason=[27 octets in UTF-8 encoding]\n", 0},
	{"4037 10.13 length 41", "SGC 1 ({\"41:" TLS "\" \"8:blowfish\"});" L, NULL, OCP_BAD_QUOTE},
	{"4037 10.13", "SGC 1 ({\"44:" TLS "\" \"8:blowfish\"});" L,
	 "SGC sg=1 services=1( =[" TLS "] more=[ \"8:blowfish\"] )\n", 0},
	{"4037 3.1", "TS \"4:1234\" 1;" L, "TS xid=1234 sg=1\n", 0},
	{"4037 3.1", "TE 1 {200 \"0:\"};" L, "TE xid=1 result=200 reason=[]\n", 0},
};

#define HEAD_RESP(n) "HTTP/1.1 200 OK" L "Content-Type: text/html" L "Content-Length: " n L L
#define HEAD_TEXT(n) "HTTP/1.1 200 OK" L "Content-Type: text/plain" L "Content-Length: " n L L
#define GET_DENIED                                                                                 \
	"GET http://www.restricted.example.com/ HTTP/1.1" L "Accept: */*" L "Accept-Language: de" L \
	"Accept-Encoding: gzip, deflate" L                                                         \
	"User-Agent: Mozilla/4.0 (compatible; Windows NT 5.0)" L                                   \
	"Host: www.restricted.example.com" L "Proxy-Connection: Keep-Alive" L L
#define DENIED                                                                                     \
	"<html><body>You are not allowed to" L "access this page.</body></html>"
#define NOBLER "Whether 'tis nobler in the mind to suffer" L "The slings and arrows of outrageous fortune"
#define EDLER "Ob's edler im Gemuet, die Pfeil und Schleudern" L "des wuetenden Geschicks erdulden"

static const struct example http[] = {
	{"4236 3.2.8",
	 "NR {" RESP L "Aux-Parts: (request-header)" L "Pause-At-Body: 30" L
	 "Preservation-Interest-Body: 0" L "Content-Encodings: (gzip)" L "}" L "SG: 5" L ";" L,
	 "NR sg=5 feature" U_RESP " more=[\\0d\\0aAux-Parts: (request-header)\\0d\\0a"
	 "Pause-At-Body: 30\\0d\\0aPreservation-Interest-Body: 0\\0d\\0aContent-Encodings: "
	 "(gzip)\\0d\\0a]\n", 0},
	{"4236 figure 12 Kept of one value",
	 "DUM 88 1 0" L "Kept: 0" L "AM-Part: response-header" L L "64:" HEAD_RESP("51") L ";" L, NULL,
	 OCP_BAD_MISSING},
	{"4236 figure 12",
	 "DUM 88 0" L "Kept: {0 64}" L "AM-Part: response-header" L L "64:" HEAD_RESP("51") L ";" L
	 "DUM 88 64" L "Kept: {0 83}" L "AM-Part: response-body" L L "19:<html><body>This is" L ";" L
	 "DUM 88 83" L "Kept: {0 115}" L "AM-Part: response-body" L L
	 "32: a simple message.</body></html>" L ";" L,
	 "DUM xid=88 offset=0 size=64 part=response-header kept=0+64 payload=64\n"
	 "DUM xid=88 offset=64 size=19 part=response-body kept=0+83 payload=19\n"
	 "DUM xid=88 offset=83 size=32 part=response-body kept=0+115 payload=32\n", 0},
	{"4236 figure 13 processor, Kept of one value",
	 "DUM 55 0" L "Kept: 0" L "AM-Part: request-header" L L "235:" GET_DENIED L ";" L, NULL,
	 OCP_BAD_MISSING},
	{"4236 figure 13 processor",
	 "CS;" L "SGC 11 ({\"31:ocp-test.example.com/url-filter\"});" L "NO ({" REQ "})" L "SG: 11" L
	 ";" L "TS 55 11;" L "AMS 55" L "AM-EL: 0" L ";" L "DUM 55 0" L "Kept: 0 235" L
	 "AM-Part: request-header" L L "235:" GET_DENIED L ";" L "AME 55;" L "TE 55;" L,
	 "CS\nSGC sg=11 services=1( =[ocp-test.example.com/url-filter] )\nNO sg=11 features=1( " U_REQ
	 " )\nTS xid=55 sg=11\nAMS xid=55 sizep=0\n"
	 "DUM xid=55 offset=0 size=235 part=request-header kept=0+235 payload=235\n"
	 "AME xid=55\nTE xid=55\n", 0},
	{"4236 figure 13 callout server",
	 "CS;" L "NR {" REQ "}" L "SG: 11" L ";" L "AMS 55;" L "DUM 55 0" L "AM-Part: response-header" L L
	 "76:HTTP/1.1 403 Forbidden" L "Content-Type: text/html" L "Proxy-Connection: close" L L L ";" L
	 "DUM 55 76" L "AM-Part: response-body" L L "67:" DENIED L ";" L "AME 55;" L "TE 55;" L,
	 "CS\nNR sg=11 feature" U_REQ " more=[]\nAMS xid=55\n"
	 "DUM xid=55 offset=0 size=76 part=response-header payload=76\n"
	 "DUM xid=55 offset=76 size=67 part=response-body payload=67\nAME xid=55\nTE xid=55\n", 0},
	{"4236 figure 14 processor",
	 "CS;" L "NO ({" RESP "});" L "SGC 12 ({\"44:ocp-test.example.com/translate?from=EN&to=DE\"});" L
	 "TS 89 12;" L "AMS 89" L "AM-EL: 86" L ";" L "DUM 89 0" L "AM-Part: response-header" L L
	 "65:" HEAD_TEXT("86") L ";" L "DUM 89 65" L "AM-Part: response-body" L L "86:" NOBLER L ";" L
	 "AME 89;" L "TE 89;" L,
	 "CS\nNO features=1( " U_RESP " )\nSGC sg=12 services=1( "
	 "=[ocp-test.example.com/translate?from=EN&to=DE] )\nTS xid=89 sg=12\nAMS xid=89 sizep=86\n"
	 "DUM xid=89 offset=0 size=65 part=response-header payload=65\n"
	 "DUM xid=89 offset=65 size=86 part=response-body payload=86\nAME xid=89\nTE xid=89\n", 0},
	/* AM-EL 78 and offset 63 are wrong in print, but in valid format: 80 and 65 are meant */
	{"4236 figure 14 callout server",
	 "CS;" L "NR {" RESP "};" L "AMS 89" L "AM-EL: 80" L ";" L "DUM 89 0" L
	 "AM-Part: response-header" L L "65:" HEAD_TEXT("80") L ";" L "DUM 89 65" L
	 "AM-Part: response-body" L L "80:" EDLER L ";" L "AME 89;" L "TE 89;" L,
	 "CS\nNR feature" U_RESP " more=[]\nAMS xid=89 sizep=80\n"
	 "DUM xid=89 offset=0 size=65 part=response-header payload=65\n"
	 "DUM xid=89 offset=65 size=80 part=response-body payload=80\nAME xid=89\nTE xid=89\n", 0},
	{"4236 figure 14 NO broken into two lines", "NO" L "({" RESP "});" L, NULL, OCP_BAD_OCTET},
	{"4236 figure 14 NR broken into two lines", "NR" L "{" RESP "};" L, NULL, OCP_BAD_OCTET},
	/* Kept of two values as printed; AM-EL 95 should be 94 */
	{"4236 figure 15 processor",
	 "CS;" L "SGC 10 ({\"30:ocp-test.example.com/ad-filter\"});" L "NO ({" RESP L
	 "Aux-Parts: (request-header,request-body)" L
	 "},{\"45:http://www.iana.org/assignments/opes/ocp/MIME\"})" L "SG: 10" L ";" L "TS 88 10;" L
	 "AMS 88" L "AM-EL: 95" L ";" L "DUM 88 0" L "AM-Part: request-header" L L
	 "65:GET /opes/adsample.html HTTP/1.1" L "Host: www.martin-stecher.de" L L L ";" L "DUM 88 65" L
	 "Kept: 65 64" L "AM-Part: response-header" L L "64:" HEAD_RESP("95") L ";" L "DUM 88 129" L
	 "Kept: 65 90" L "AM-Part: response-body" L L "26:<html>" L "<body>" L "This is my" L ";" L
	 "DUM 88 155" L "Kept: 65 158" L "AM-Part: response-body" L L
	 "68: new ad: <img src=\"my_ad.gif\"" L "width=88 height=31>" L "</body>" L "</html>" L ";" L
	 "AME 88;" L "TE 88;" L,
	 "CS\nSGC sg=10 services=1( =[ocp-test.example.com/ad-filter] )\nNO sg=10 features=2( " U_RESP
	 " more=[\\0d\\0aAux-Parts: (request-header,request-body)\\0d\\0a] "
	 "=[http://www.iana.org/assignments/opes/ocp/MIME] )\nTS xid=88 sg=10\nAMS xid=88 sizep=95\n"
	 "DUM xid=88 offset=0 size=65 part=request-header payload=65\n"
	 "DUM xid=88 offset=65 size=64 part=response-header kept=65+64 payload=64\n"
	 "DUM xid=88 offset=129 size=26 part=response-body kept=65+90 payload=26\n"
	 "DUM xid=88 offset=155 size=68 part=response-body kept=65+158 payload=68\n"
	 "AME xid=88\nTE xid=88\n", 0},
	{"4236 figure 15 DUY without a semicolon", "DUY 88 65 64" L "DPI 88 129 2147483647;" L, NULL,
	 OCP_BAD_OCTET},
	/* offset 0 in print, 64 is meant */
	{"4236 figure 15 callout server",
	 "CS;" L "NR {" RESP L "Aux-Parts: (request-header)" L "Content-Encodings: (gzip)" L "}" L
	 "SG: 10" L ";" L "AMS 88;" L "DUY 88 65 64;" L "DPI 88 129 2147483647;" L "DUM 88 64" L
	 "AM-Part: response-body" L L "52:<html>" L "<body>" L "This is my new ad:" L "</body>" L
	 "</html>" L ";" L "DPI 88 129 0;" L "AME 88;" L "TE 88;" L,
	 "CS\nNR sg=10 feature" U_RESP " more=[\\0d\\0aAux-Parts: (request-header)\\0d\\0a"
	 "Content-Encodings: (gzip)\\0d\\0a]\nAMS xid=88\nDUY xid=88 size=64 org-offset=65\n"
	 "DPI xid=88 offset=129 size=2147483647\n"
	 "DUM xid=88 offset=64 size=52 part=response-body payload=52\n"
	 "DPI xid=88 offset=129 size=0\nAME xid=88\nTE xid=88\n", 0},
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The heads only: no payload in hex, no ends. */
static void heads_only(char *e)
{
	char *to = e;

	while (*e) {
		size_t n = strcspn(e, "\n") + 1;

		if (memcmp(e, "end\n", 4) != 0 && strspn(e, "0123456789abcdef") + 1 != n) {
			memmove(to, e, n);
			to += n;
		}
		e += n;
	}
	*to = 0;
}

static void check(const struct example *x)
{
	char *e = events_all(x->wire, strlen(x->wire), NULL), want[4096];

	if (x->events) {
		heads_only(e);
		snprintf(want, sizeof(want), "%sidle\n", x->events);
		if (strcmp(e, want) != 0)
			fail_msg("%s: want\n%sgot\n%s", x->where, want, e);
	} else {
		const char *bad = strstr(e, "bad ");

		if (!bad || atoi(bad + 4) != (int)x->bad)
			fail_msg("%s: want bad %d, got\n%s", x->where, x->bad, e);
	}
	free(e);
}

static void test_core(void **state)
{
	for (size_t i = 0; i < COUNT(core); i++)
		check(&core[i]);
}

static void test_http(void **state)
{
	for (size_t i = 0; i < COUNT(http); i++)
		check(&http[i]);
}

/* 3.3: a message with 8865 octets of payload, and as printed, the semicolon right behind it. */
static void test_8865_octets(void **state)
{
	struct text in = {0};
	char *e;

	say(&in, "DUM 1 13\r\nModp: 75\r\n\r\n8865:%08865d\r\n;\r\n", 0);
	e = events_all(in.p, in.len, NULL);
	heads_only(e);
	assert_string_equal(e, "DUM xid=1 offset=13 size=8865 modp=75 payload=8865\nidle\n");
	free(e);
	in.len -= 5;
	say(&in, ";\r\n");
	e = events_all(in.p, in.len, NULL);
	assert_non_null(strstr(e, "bad 1 "));
	free(e);
	free(in.p);
}

/* All that is readable in one stream, in every cutting; CS first, so the dialect is core. */
static void test_one_stream(void **state)
{
	struct text in = {0}, want = {0};
	char *e;

	say(&in, "CS;\r\n");
	say(&want, "CS\n");
	for (size_t i = 0; i < COUNT(core) + COUNT(http); i++) {
		const struct example *x = i < COUNT(core) ? &core[i] : &http[i - COUNT(core)];

		if (x->events) {
			say(&in, "%s", x->wire);
			say(&want, "%s", x->events);
		}
	}
	say(&want, "idle\n");
	for (size_t cut = 1; cut < in.len; cut++) {
		e = cut == 1 ? events_all(in.p, in.len, NULL)
			     : events_lim(in.p, in.len, cut_once, &cut, NULL);
		heads_only(e);
		assert_string_equal(e, want.p);
		free(e);
	}
	free(in.p);
	free(want.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_8865_octets),
		cmocka_unit_test(test_one_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "app/app_http1_priv.h"

#define T C_TOKEN
#define X C_TEXT
#define G C_TARGET
#define H C_HOST
#define D C_DIGIT

const uint8_t http1_chars[256] = {
	['\t'] = X,
	[' '] = X,
	['!'] = T | X | G | H,
	['"'] = X | G,
	['#'] = T | X | G,
	['$'] = T | X | G | H,
	['%'] = T | X | G | H,
	['&'] = T | X | G | H,
	['\''] = T | X | G | H,
	['('] = X | G | H,
	[')'] = X | G | H,
	['*'] = T | X | G | H,
	['+'] = T | X | G | H,
	[','] = X | G | H,
	['-'] = T | X | G | H,
	['.'] = T | X | G | H,
	['/'] = X | G,
	['0' ... '9'] = T | X | G | H | D,
	[':'] = X | G | H,
	[';'] = X | G | H,
	['<'] = X | G,
	['='] = X | G | H,
	['>'] = X | G,
	['?'] = X | G,
	['@'] = X | G,
	['A' ... 'Z'] = T | X | G | H,
	['['] = X | G | H,
	['\\'] = X | G,
	[']'] = X | G | H,
	['^'] = T | X | G,
	['_'] = T | X | G | H,
	['`'] = T | X | G,
	['a' ... 'z'] = T | X | G | H,
	['{'] = X | G,
	['|'] = T | X | G,
	['}'] = X | G,
	['~'] = T | X | G | H,
	[128 ... 255] = X | G,
};

#define EACH(octet) (0x0101010101010101u * (octet))

/* Nothing below 0x20 and no 0x7f among eight octets. May err, but only in calling good octets
 * suspicious. */
static bool plain(const char *s)
{
	uint64_t v, d;

	memcpy(&v, s, sizeof(v));
	d = v ^ EACH(0x7f);
	return ((((v - EACH(0x20)) & ~v) | ((d - EACH(0x01)) & ~d)) & EACH(0x80)) == 0;
}

uint32_t http1_text_end(const char *buf, uint32_t from, uint32_t to)
{
	while (from < to) {
		if (to - from >= 8 && plain(buf + from)) {
			from += 8;
			continue;
		}
		if (!http1_is(buf[from], C_TEXT))
			break;
		from++;
	}
	return from;
}

bool http1_same(const char *s, uint32_t len, const char *lower)
{
	uint32_t i;

	for (i = 0; i < len && lower[i] != '\0'; i++) {
		char c = s[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (c != lower[i])
			return false;
	}
	return i == len && lower[i] == '\0';
}

bool http1_list_next(const char *s, uint32_t len, uint32_t *at, struct http1_span *item)
{
	uint32_t i = *at, end;

	while (i < len && (s[i] == ',' || http1_is_space(s[i])))
		i++;
	item->off = i;
	while (i < len && s[i] != ',')
		i++;
	*at = i;
	for (end = i; end > item->off && http1_is_space(s[end - 1]); end--)
		;
	item->len = end - item->off;
	return item->len != 0;
}

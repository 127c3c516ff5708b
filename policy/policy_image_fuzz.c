/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A damaged image: the input says which octets of a good one change. With the
 * checksum left as it was it must be refused; with the checksum made right
 * again it is refused or safe to ask, as far as no database is touched (their
 * octets are Hyperscan's, and only the checksum stands for them).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char text[] =
	"ports: {inside: {device: a}, outside: {device: b}}\n"
	"services: [{name: s, address: \"unix:/x\"}]\n"
	"rules:\n"
	"- {name: a, action: bypass, match: {protocol: http, host: {suffix: .x}}}\n"
	"- {name: b, action: adapt, service: s, match: {protocol: http, client: [10.0.0.0/8, "
	"\"2001:db8::/32\"],\n"
	"   server-port: [80, 8000-8999], vlan: 0, path: [{prefix: /a}, {regex: \"x+\"}], headers: "
	"[{name: h, value: y}]}}\n"
	"- {name: c, action: block, match: {protocol: http, status: 200-299, content-type: "
	"text/html}}\n";

static struct policy_image *good(void)
{
	static struct policy_image *img;
	static struct policy_errors errs;
	struct policy_config *c;

	if (img)
		return img;
	if (policy_config_parse("fuzz", text, sizeof(text) - 1, &c, &errs) ||
	    policy_compile(c, 1, &img, &errs))
		abort();
	policy_config_free(c);
	return img;
}

static bool one_field(const void *ctx, uint32_t i, const char **name, uint32_t *name_len,
		      const char **value, uint32_t *value_len)
{
	*name = "H";
	*name_len = 1;
	*value = "y";
	*value_len = 1;
	return i == 0;
}

static void ask(const struct policy_image *img)
{
	struct policy_tuple t = {.client = {[10] = 0xff, 0xff, 10, 0, 0, 1}, .server_port = 80};
	struct policy_message msg = {.kind = POLICY_KIND_RESPONSE,
				     .method = "GET",
				     .method_len = 3,
				     .host = "h",
				     .host_len = 1,
				     .path = "/abxx",
				     .path_len = 5,
				     .status = 200,
				     .field = one_field};
	struct policy_selection sel = {.first = 0, .protocol = POLICY_PROTO_HTTP};
	struct policy_matcher *m;

	if (policy_matcher_create(&m, img, -1))
		return;
	policy_match_message(m, &t, &sel, &msg);
	policy_select_flow(m, &t, &sel);
	if (sel.first >= 0)
		policy_match_message(m, &t, &sel, &msg);
	for (uint32_t i = 0; i < policy_image_rules(img); i++) {
		if (!memchr(policy_image_rule(img, i)->name, 0, POLICY_NAME_MAX))
			abort();
	}
	policy_matcher_destroy(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct policy_image *from = good();
	size_t size = policy_image_size(from), limit = from->part[POLICY_PART_DATABASES].offset;
	struct policy_image *img = aligned_alloc(POLICY_IMAGE_ALIGN, size);
	bool changed;

	if (!img)
		return 0;
	memcpy(img, from, size);
	for (; len >= 3; data += 3, len -= 3)
		((uint8_t *)img)[(data[0] | (size_t)data[1] << 8) % limit] ^= data[2];
	changed = memcmp(img, from, size) != 0;
	if (changed == !policy_image_check(img, size))
		abort();
	if (img->length >= sizeof(*img) && img->length <= size) {
		img->checksum = policy_image_checksum(img, img->length);
		if (!policy_image_check(img, size))
			ask(img);
	}
	free(img);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a configuration: refused with places inside the text, or read,
 * compiled to an image that passes its check, and matched against. Lengths of
 * expressions are bounded by the input's.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool no_field(const void *ctx, uint32_t i, const char **name, uint32_t *name_len,
		     const char **value, uint32_t *value_len)
{
	*name = "Content-Type";
	*name_len = 12;
	*value = "text/html; charset=utf-8";
	*value_len = 24;
	return i == 0;
}

static void match(const struct policy_image *img)
{
	struct policy_tuple t = {.client = {[10] = 0xff, 0xff, 10, 0, 0, 1}, .server_port = 80};
	struct policy_message msg = {.kind = POLICY_KIND_RESPONSE,
				     .method = "GET",
				     .method_len = 3,
				     .host = "www.example.com",
				     .host_len = 15,
				     .path = "/download/x",
				     .path_len = 11,
				     .status = 200,
				     .field = no_field};
	struct policy_selection sel;
	struct policy_matcher *m;

	if (policy_matcher_create(&m, img, -1))
		return;
	policy_select_flow(m, &t, &sel);
	if (sel.first >= 0 &&
	    policy_match_message(m, &t, &sel, &msg) >= (int32_t)policy_image_rules(img))
		abort();
	policy_matcher_destroy(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct policy_errors errs;
	struct policy_config *c = NULL;
	struct policy_image *img = NULL;

	if (policy_config_parse("fuzz", (const char *)data, len, &c, &errs)) {
		if (c || !errs.count || !errs.e[0].line || !errs.e[0].column || !*errs.e[0].text)
			abort();
		return 0;
	}
	if (!c || errs.count)
		abort();
	if (policy_compile(c, 1, &img, &errs) || policy_image_check(img, policy_image_size(img)))
		abort();
	match(img);
	if (policy_config_restart_needed(c, c))
		abort();
	free(img);
	policy_config_free(c);
	return 0;
}

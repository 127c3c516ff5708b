/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

static json_t *errors_json(const struct policy_errors *errs)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < errs->count && i < POLICY_ERRORS_MAX; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:i, s:s}", "file", errs->e[i].file,
						"line", (int)errs->e[i].line, "column",
						(int)errs->e[i].column, "text", errs->e[i].text));
	return list;
}

json_t *cli_check(const char *path)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct policy_config *cfg = NULL;
	struct policy_image *img = NULL;
	json_t *answer;
	char text[128];
	int r;

	if (!errs)
		return NULL;
	r = policy_config_read(path, &cfg, errs);
	if (!r)
		r = policy_compile(cfg, 1, &img, errs);
	if (r) {
		snprintf(text, sizeof(text), "%u error%s", errs->count,
			 errs->count == 1 ? "" : "s");
		if (!errs->count)
			snprintf(text, sizeof(text), "cannot be compiled: %s", strerror(-r));
		answer = json_pack("{s:b, s:s, s:s, s:o}", "ok", 0, "file", path, "error", text,
				   "errors", errors_json(errs));
	} else {
		answer = json_pack("{s:b, s:{s:s, s:i, s:i, s:i}}", "ok", 1, "result", "file", path,
				   "rules", (int)policy_image_rules(img), "services",
				   (int)policy_image_services(img), "compiled_octets",
				   (int)policy_image_size(img));
	}
	if (cfg)
		policy_config_free(cfg);
	free(img);
	free(errs);
	return answer;
}

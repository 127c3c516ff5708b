/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control_log.h"
#include "policy/policy.h"

#define CONFIG_MAX (64u << 20)

/* Whole file into *text; -errno. */
static int file_read(const char *path, char **text, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	*len = 0;
	*text = NULL;
	if (fstat(fd, &st))
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > CONFIG_MAX)
		r = -EINVAL;
	else if (!(*text = malloc((size_t)st.st_size + 1)))
		r = -ENOMEM;
	while (!r && *len < (size_t)st.st_size) {
		n = read(fd, *text + *len, (size_t)st.st_size - *len);
		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n == 0)
			break;
		if (n > 0)
			*len += (size_t)n;
	}
	close(fd);
	if (r)
		free(*text);
	return r;
}

int control_config_parse(struct control_config *out, const char *path, const char *text, size_t len,
			 uint32_t generation, struct policy_errors *errs)
{
	int r;

	memset(out, 0, sizeof(*out));
	memset(errs, 0, sizeof(*errs));
	r = policy_config_parse(path, text, len, &out->config, errs);
	if (!r)
		r = policy_compile(out->config, generation, &out->image, errs);
	if (!r && !(out->text = malloc(len + 1)))
		r = -ENOMEM;
	if (r) {
		control_config_free(out);
		return r;
	}
	memcpy(out->text, text, len);
	out->text_len = len;
	return 0;
}

int control_config_load(struct control_config *out, const char *path, uint32_t generation,
			struct policy_errors *errs)
{
	char *text = NULL;
	size_t len = 0;
	int r = file_read(path, &text, &len);

	memset(out, 0, sizeof(*out));
	memset(errs, 0, sizeof(*errs));
	if (r) {
		/* the reader of the policy says it in its own form */
		int r2 = policy_config_read(path, &out->config, errs);

		if (r2 == 0) {
			policy_config_free(out->config);
			out->config = NULL;
		}
		return r2 ? r2 : r;
	}
	r = control_config_parse(out, path, text, len, generation, errs);
	free(text);
	return r;
}

void control_config_free(struct control_config *c)
{
	if (c->config)
		policy_config_free(c->config);
	free(c->image);
	free(c->text);
	memset(c, 0, sizeof(*c));
}

void control_config_move(struct control_config *to, struct control_config *from)
{
	control_config_free(to);
	*to = *from;
	memset(from, 0, sizeof(*from));
}

void control_config_log_errors(const struct policy_errors *errs)
{
	for (uint32_t i = 0; i < errs->count && i < POLICY_ERRORS_MAX; i++) {
		const struct policy_error *e = &errs->e[i];

		if (e->line)
			control_log_error("%s:%u:%u: %s", e->file, e->line, e->column, e->text);
		else
			control_log_error("%s: %s", e->file, e->text);
	}
	if (errs->count > POLICY_ERRORS_MAX)
		control_log_error("%u further errors are not shown",
				  errs->count - POLICY_ERRORS_MAX);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "command/command.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct command command_table[] = {
#define COMMAND(words, handler, options, help) {words, options, help},
#include "command/commands.def"
#undef COMMAND
};
const size_t command_count = sizeof(command_table) / sizeof(command_table[0]);

/* Number of words of cmd if the first of argv are exactly these, else 0. */
static int words_match(const struct command *cmd, int argc, char **argv)
{
	const char *p = cmd->words;
	int n = 0;

	while (*p) {
		size_t len = strcspn(p, " ");

		if (n == argc || strlen(argv[n]) != len || strncmp(argv[n], p, len) != 0)
			return 0;
		n++;
		p += len;
		if (*p == ' ')
			p++;
	}
	return n;
}

static const struct command *command_find(int argc, char **argv, int *used)
{
	const struct command *best = NULL;

	*used = 0;
	for (size_t i = 0; i < command_count; i++) {
		int n = words_match(&command_table[i], argc, argv);

		if (n > *used) {
			*used = n;
			best = &command_table[i];
		}
	}
	return best;
}

static int number_parse(const char *s, uint64_t *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(s, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

static int flow_id_parse(const char *s, uint64_t *out)
{
	char *end;

	if (!isxdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*out = strtoull(s, &end, 16);
	return errno || *end || !*out ? -EINVAL : 0;
}

/* One option at argv[i]. Returns the words it took, or -EINVAL with err. */
static int option_parse(int argc, char **argv, int i, struct command_call *out, char *err,
			size_t err_len)
{
	unsigned can = out->command->options;
	const char *w = argv[i];

	if ((can & COMMAND_ALL) && strcmp(w, "--all") == 0) {
		out->all = true;
		return 1;
	}
	if ((can & COMMAND_FOLLOW) && (strcmp(w, "-f") == 0 || strcmp(w, "--follow") == 0)) {
		out->follow = true;
		return 1;
	}
	if ((can & COMMAND_NUMBER) && (strcmp(w, "-n") == 0 || strcmp(w, "--number") == 0)) {
		if (i + 1 == argc || number_parse(argv[i + 1], &out->number)) {
			snprintf(err, err_len, "%s: option %s wants a number", out->command->words,
				 w);
			return -EINVAL;
		}
		out->has_number = true;
		return 2;
	}
	if ((can & COMMAND_FILE) && w[0] != '-' && !out->file) {
		out->file = w;
		return 1;
	}
	if ((can & COMMAND_ID) && w[0] != '-' && !out->id) {
		if (flow_id_parse(w, &out->id)) {
			snprintf(err, err_len, "%s: \"%s\" is not the id of a flow; opesctl flows lists them",
				 out->command->words, w);
			return -EINVAL;
		}
		return 1;
	}
	snprintf(err, err_len, "%s: unexpected argument \"%s\"", out->command->words, w);
	return -EINVAL;
}

/* Says which words could have followed when the first ones begin a command ("rules" alone). */
static void unknown_explain(int argc, char **argv, char *err, size_t err_len)
{
	char word[64], list[256] = "";
	size_t used = 0;
	int n = argc > 1 ? argc - 1 : argc;

	for (int before = n; before > 0; before--) {
		for (size_t i = 0; command_candidate(before, argv, "", i, word, sizeof(word)); i++)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", word);
		if (used) {
			snprintf(err, err_len, "%s wants one of: %s", argv[before - 1], list);
			return;
		}
	}
	snprintf(err, err_len, "unknown command \"%s\"; try: opesctl help", argv[0]);
}

int command_parse(int argc, char **argv, struct command_call *out, char *err, size_t err_len)
{
	int i;

	memset(out, 0, sizeof(*out));
	if (argc < 1) {
		snprintf(err, err_len, "no command given; try: opesctl help");
		return -EINVAL;
	}
	out->command = command_find(argc, argv, &i);
	if (!out->command) {
		unknown_explain(argc, argv, err, err_len);
		return -EINVAL;
	}
	while (i < argc) {
		int n = option_parse(argc, argv, i, out, err, err_len);

		if (n < 0)
			return n;
		i += n;
	}
	if ((out->command->options & COMMAND_ID) && !out->id) {
		snprintf(err, err_len, "%s wants the id of a flow; opesctl flows lists them", out->command->words);
		return -EINVAL;
	}
	return 0;
}

void command_request_name(const struct command *cmd, char *buf, size_t len)
{
	snprintf(buf, len, "%s", cmd->words);
	for (char *p = buf; *p; p++)
		if (*p == ' ')
			*p = '.';
}

json_t *command_request(const struct command_call *call, uint64_t id)
{
	json_t *args = json_object();
	char name[64];

	if (!args)
		return NULL;
	command_request_name(call->command, name, sizeof(name));
	if (call->all)
		json_object_set_new(args, "all", json_true());
	if (call->has_number)
		json_object_set_new(args, "max", json_integer((json_int_t)call->number));
	if (call->command->options & COMMAND_ID)
		json_object_set_new(args, "flow", json_integer((json_int_t)call->id));
	return json_pack("{s:s, s:o, s:I}", "command", name, "args", args, "id", (json_int_t)id);
}

void command_synopsis(const struct command *cmd, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s%s%s%s%s", cmd->words, cmd->options & COMMAND_ID ? " ID" : "",
		 cmd->options & COMMAND_FOLLOW ? " [-f]" : "",
		 cmd->options & COMMAND_NUMBER ? " [-n N]" : "",
		 cmd->options & COMMAND_ALL ? " [--all]" : "",
		 cmd->options & COMMAND_FILE ? " [FILE]" : "");
}

/* The word of cmd that comes after the argc words of argv, if these agree with cmd. */
static const char *word_after(const struct command *cmd, int argc, char **argv, size_t *len)
{
	const char *p = cmd->words;

	for (int i = 0; i < argc; i++) {
		size_t n = strcspn(p, " ");

		if (n == 0 || strlen(argv[i]) != n || strncmp(argv[i], p, n) != 0)
			return NULL;
		p += n;
		if (*p == ' ')
			p++;
	}
	*len = strcspn(p, " ");
	return *len ? p : NULL;
}

static bool option_candidate(int argc, char **argv, const char *prefix, size_t i, char *buf,
			     size_t len)
{
	static const struct {
		unsigned bit;
		const char *word;
	} options[] = {{COMMAND_ALL, "--all"}, {COMMAND_FOLLOW, "-f"}, {COMMAND_NUMBER, "-n"}};
	int used;
	const struct command *cmd = command_find(argc, argv, &used);

	for (size_t k = 0; cmd && k < sizeof(options) / sizeof(options[0]); k++) {
		if (!(cmd->options & options[k].bit) ||
		    strncmp(options[k].word, prefix, strlen(prefix)) != 0)
			continue;
		if (i-- == 0) {
			snprintf(buf, len, "%s", options[k].word);
			return true;
		}
	}
	return false;
}

bool command_candidate(int argc, char **argv, const char *prefix, size_t i, char *buf, size_t len)
{
	for (size_t k = 0; k < command_count; k++) {
		size_t n, prev = 0, before_len;
		const char *w = word_after(&command_table[k], argc, argv, &n);

		if (!w || strncmp(w, prefix, strlen(prefix)) != 0)
			continue;
		/* the same first word stands in several commands */
		while (prev < k) {
			const char *b = word_after(&command_table[prev], argc, argv, &before_len);

			if (b && before_len == n && strncmp(b, w, n) == 0)
				break;
			prev++;
		}
		if (prev < k)
			continue;
		if (i-- == 0) {
			snprintf(buf, len, "%.*s", (int)n, w);
			return true;
		}
	}
	return prefix[0] == '-' && option_candidate(argc, argv, prefix, i, buf, len);
}

int command_split(char *line, char **argv, int max)
{
	int n = 0;
	char *p = line;

	for (;;) {
		char *out;
		bool quoted = false;

		p += strspn(p, " \t\r\n");
		if (!*p)
			return n;
		if (n == max)
			return -E2BIG;
		argv[n++] = out = p;
		while (*p && (quoted || !strchr(" \t\r\n", *p))) {
			if (*p == '"')
				quoted = !quoted;
			else
				*out++ = *p;
			p++;
		}
		if (quoted)
			return -EINVAL;
		if (*p)
			p++;
		*out = '\0';
	}
}

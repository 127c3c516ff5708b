/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <editline/readline.h>

#define HISTORY_LINES 500

/* What completion looks at: the whole words before the one under the cursor. */
static struct {
	char line[1024];
	char *argv[COMMAND_WORDS_MAX];
	int argc;
} before;

/* Of the flows of this moment, while the id of one is completed. */
static struct {
	struct cli_client *client;
	json_t *answer;
	size_t next;
} flows;

#define FLOWS_COMPLETED 1000

static bool wants_flow(void)
{
	struct command_call call;
	char err[256];

	if (!before.argc)
		return false;
	command_parse(before.argc, before.argv, &call, err, sizeof(err));
	return call.command && (call.command->options & COMMAND_ID) && !call.id;
}

static char *flow_candidate(const char *prefix, int state)
{
	const json_t *list;
	char err[256];

	if (state == 0) {
		json_decref(flows.answer);
		flows.answer = cli_client_ask(flows.client,
					      json_pack("{s:s, s:{s:i}}", "command", "flows", "args", "max", FLOWS_COMPLETED),
					      err, sizeof(err));
		flows.next = 0;
	}
	list = json_object_get(json_object_get(flows.answer, "result"), "flows");
	while (flows.next < json_array_size(list)) {
		const char *id = json_string_value(json_object_get(json_array_get(list, flows.next++), "flow"));

		if (id && strncmp(id, prefix, strlen(prefix)) == 0)
			return strdup(id);
	}
	return NULL;
}

static char *candidate(const char *prefix, int state)
{
	static size_t next;
	char word[64];

	if (state == 0)
		next = 0;
	if (!command_candidate(before.argc, before.argv, prefix, next++, word, sizeof(word)))
		return NULL;
	return strdup(word);
}

/* Names of files are completed where a command takes one. */
static bool wants_file(void)
{
	struct command_call call;
	char err[256];

	return before.argc && !command_parse(before.argc, before.argv, &call, err, sizeof(err)) &&
	       (call.command->options & COMMAND_FILE) && !call.file;
}

static char **complete(const char *word, int start, int end)
{
	int n;

	snprintf(before.line, sizeof(before.line), "%.*s", start, rl_line_buffer);
	n = command_split(before.line, before.argv, COMMAND_WORDS_MAX);
	before.argc = n < 0 ? 0 : n;
	rl_attempted_completion_over = wants_file() ? 0 : 1;
	if (!rl_attempted_completion_over)
		return NULL;
	return rl_completion_matches(word, wants_flow() ? flow_candidate : candidate);
}

static void history_path(char *buf, size_t len)
{
	const char *home = getenv("HOME");

	buf[0] = '\0';
	if (home && *home)
		snprintf(buf, len, "%s/.opesctl_history", home);
}

static void line_run(struct cli *cli, const char *line)
{
	char copy[4096], *argv[COMMAND_WORDS_MAX];
	int n;

	snprintf(copy, sizeof(copy), "%s", line);
	n = command_split(copy, argv, COMMAND_WORDS_MAX);
	if (n == -EINVAL)
		fprintf(stderr, "opesctl: a quotation mark is not closed\n");
	else if (n < 0)
		fprintf(stderr, "opesctl: too many words\n");
	else if (n > 0)
		cli_run(cli, n, argv);
	if (cli->interrupted)
		*cli->interrupted = 0;
}

/* Commands from a pipe or a file: no editing, no prompt; the exit code is that of the last failure.
 */
static int lines_run(struct cli *cli)
{
	char line[4096], *argv[COMMAND_WORDS_MAX];
	int r = 0, one, n;

	while (!cli->quit && fgets(line, sizeof(line), stdin)) {
		n = command_split(line, argv, COMMAND_WORDS_MAX);
		if (n == 0)
			continue;
		one = n > 0 ? cli_run(cli, n, argv) : 2;
		if (one)
			r = one;
	}
	return r;
}

int cli_shell(struct cli *cli)
{
	char path[4096], *line;

	cli->shell = true;
	if (!isatty(STDIN_FILENO))
		return lines_run(cli);
	flows.client = &cli->client;
	rl_readline_name = (char *)"opesctl";
	rl_initialize();
	rl_attempted_completion_function = complete;
	using_history();
	stifle_history(HISTORY_LINES);
	history_path(path, sizeof(path));
	if (*path)
		read_history(path);
	printf("help lists the commands, quit or Ctrl-D leaves\n");
	while (!cli->quit && (line = readline("opes> "))) {
		if (line[strspn(line, " \t")]) {
			add_history(line);
			line_run(cli, line);
		}
		free(line);
	}
	json_decref(flows.answer);
	flows.answer = NULL;
	if (*path)
		write_history(path);
	if (!cli->quit)
		putchar('\n');
	return 0;
}

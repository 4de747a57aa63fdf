/* Command lines as people write them. */
#include <jansson.h>

#include "base/str.h"
#include "server/command.h"
#include "test.h"

static const char *const context[] = {"--ctx-size", "-c", NULL};
static const char *const metrics[] = {"--metrics", NULL};
static const char *const util[] = {"--gpu-memory-utilization", NULL};

/* Words split at spaces; no quoting. */
static ServerCommand line(const char *text)
{
	ServerCommand c = {.argv = calloc(40, sizeof(char *))};
	char *copy = strdup(text), *rest = copy;

	for (size_t n = 0; rest && n < 39; n++) {
		char *word = strsep(&rest, " ");
		c.argv[n] = strdup(word);
	}
	free(copy);
	return c;
}

static void check_line(ServerCommand *c, const char *want)
{
	Str s = STR_INIT;

	for (char **word = c->argv; *word; word++)
		str_addf(&s, "%s%s", word == c->argv ? "" : " ", *word);
	CHECK_STR(s.s, want);
	str_done(&s);
	servercommand_done(c);
}

TEST(both_ways_of_writing_a_flag_are_read_and_the_last_counts)
{
	ServerCommand c = line("llama-server -c 512 --ctx-size=1024 -c 2048 --metrics");

	CHECK_STR(command_flag(&c, context), "2048");
	CHECK(!command_flag(&c, util));
	servercommand_done(&c);
}

TEST(a_value_is_replaced_in_the_style_it_is_written_in)
{
	ServerCommand c = line("llama-server -c 512 --ctx-size=1024 -t 2");

	CHECK_OK(command_set_flag(&c, context, "-1"));
	CHECK_STR(command_flag(&c, context), "-1");
	check_line(&c, "llama-server -c -1 --ctx-size=-1 -t 2");
}

TEST(a_flag_that_is_not_there_is_added_before_the_end_of_flags)
{
	ServerCommand c = line("server --a 1 -- --ctx-size 7");

	CHECK(!command_flag(&c, context));
	CHECK_OK(command_set_flag(&c, context, "9"));
	check_line(&c, "server --a 1 --ctx-size 9 -- --ctx-size 7");
}

TEST(a_flag_is_taken_out_with_its_value)
{
	ServerCommand c = line("s -c 1 x --ctx-size=2 y -c");

	CHECK_OK(command_set_flag(&c, context, NULL));
	check_line(&c, "s x y");
}

TEST(a_flag_at_the_end_without_value_gets_one)
{
	ServerCommand c = line("s -c");

	CHECK(!command_flag(&c, context));
	CHECK_OK(command_set_flag(&c, context, "4"));
	check_line(&c, "s -c 4");
}

TEST(underscores_in_a_long_flag_are_dashes)
{
	ServerCommand c = line("vllm serve m --gpu_memory_utilization 0.5");

	CHECK_STR(command_flag(&c, util), "0.5");
	servercommand_done(&c);
}

TEST(a_longer_flag_of_the_same_beginning_is_another)
{
	ServerCommand c = line("s --ctx-size-draft 5 -cb");

	CHECK(!command_flag(&c, context));
	servercommand_done(&c);
}

TEST(switches_are_put_in_once_and_taken_out_everywhere)
{
	ServerCommand c = line("s --metrics x --metrics");

	CHECK_OK(command_set_switch(&c, metrics, true));
	CHECK_OK(command_set_switch(&c, metrics, false));
	CHECK_OK(command_set_switch(&c, metrics, false));
	CHECK_OK(command_set_switch(&c, metrics, true));
	CHECK_OK(command_set_switch(&c, metrics, true));
	check_line(&c, "s x --metrics");
}

TEST(variables_are_set_replaced_and_taken_out)
{
	ServerCommand c = line("s");

	CHECK_OK(command_set_env(&c, "A", "1"));
	CHECK_OK(command_set_env(&c, "AB", "2"));
	CHECK_OK(command_set_env(&c, "A", "3=4"));
	CHECK_STR(command_env(&c, "A"), "3=4");
	CHECK_STR(command_env(&c, "AB"), "2");
	CHECK_OK(command_set_env(&c, "A", NULL));
	CHECK(!command_env(&c, "A") && command_env(&c, "AB"));
	CHECK(!c.env[1]);
	servercommand_done(&c);
}

TEST(a_copy_is_whole_and_its_own)
{
	ServerCommand c = line("s -c 1"), d;

	CHECK_OK(command_set_env(&c, "A", "1"));
	c.cwd = strdup("/srv");
	c.limits = json_pack("{s:i}", "LimitNOFILE", 5);
	CHECK_OK(servercommand_copy(&c, &d));
	CHECK_OK(command_set_flag(&c, context, "2"));
	servercommand_done(&c);
	CHECK_STR(command_flag(&d, context), "1");
	CHECK_STR(command_env(&d, "A"), "1");
	CHECK_STR(d.cwd, "/srv");
	CHECK_INT(json_integer_value(json_object_get(d.limits, "LimitNOFILE")), 5);
	CHECK(!d.user);
	servercommand_done(&d);
}

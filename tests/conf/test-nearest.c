#include "conf/conf.h"
#include "test.h"

static const char *const names[] = {
    "wallclock_sec", "max_candidates", "max_generations", "enabled", "evaluator", "template",
    "search_space",  "metrics",	       "budget",	  "oom",     "id",	  NULL,
};

static void check_nearest(const char *word, const char *want)
{
	const char *near = conf_nearest(word, names);
	if (!near || !want ? near != want : strcmp(near, want) != 0)
		test_fail(__FILE__, __LINE__, "'%s' is near to %s", word, near ? near : "nothing");
}

TEST(a_slip_of_the_finger_finds_the_name)
{
	check_nearest("wallclok_sec", "wallclock_sec");
	check_nearest("enabeld", "enabled");
	check_nearest("evalutor", "evaluator");
	check_nearest("Budget", "budget");
	check_nearest("max-candidates", "max_candidates");
	check_nearest("max_candidate", "max_candidates");
	check_nearest("metric", "metrics");
	check_nearest("serch_spaec", "search_space");
	check_nearest("omo", "oom");
	check_nearest("di", "id");
}

TEST(the_start_of_one_name_means_that_name)
{
	check_nearest("wallclock", "wallclock_sec");
	check_nearest("search", "search_space");
	check_nearest("max_", NULL);
}

TEST(what_is_near_to_nothing_stays_alone)
{
	check_nearest("", NULL);
	check_nearest("x", NULL);
	check_nearest("frobnicate", NULL);
	check_nearest("rollout", NULL);
	check_nearest("a_word_that_is_longer_than_any_key_that_a_person_would_think_of_typing_here",
		      NULL);
	const char *const none[] = {NULL};
	CHECK(!conf_nearest("budget", none));
}

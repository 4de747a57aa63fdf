/* The unit of a process, from what /proc says on hosts of all three layouts of control groups. */
#include "base/cleanup.h"
#include "systemd/bus.h"
#include "test.h"

static const struct {
	const char *name, *text, *unit;
	bool user;
} cases[] = {
    {"unified", "0::/system.slice/judge.service\n", "judge.service", false},
    {"below a unit", "0::/system.slice/judge.service/worker\n", "judge.service", false},
    {"v1", "3:memory:/x\n1:name=systemd:/system.slice/judge.service\n", "judge.service", false},
    {"hybrid", "1:name=systemd:/system.slice/a.service\n0::/\n", "a.service", false},
    {"hybrid, both", "1:name=systemd:/x\n0::/system.slice/a.service\n", "a.service", false},
    {"a user's unit", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/llm.service\n",
     "llm.service", true},
    {"a user's manager", "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n",
     "init.scope", true},
    {"a session", "0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", false},
    {"a container", "0::/system.slice/docker-3f2a.scope\n", "docker-3f2a.scope", false},
    {"escaped", "0::/system.slice/_cgroup.service\n", "cgroup.service", false},
    {"an instance", "0::/system.slice/system-dream\\x2dtrial.slice/dream-trial@3.service\n",
     "dream-trial@3.service", false},
    {"the first process", "0::/init.scope\n", "init.scope", false},
    {"none", "0::/\n", "", false},
    {"a folder that is named so", "0::/.service/x\n", "", false},
    {"empty", "", "", false},
    {"garbage", "\n\n:::\n0::", "", false},
    {"no line end", "0::/system.slice/judge.service", "judge.service", false},
};

TEST(the_unit_is_the_outermost_one_but_for_users_managers)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *unit = NULL;
		bool user = true;
		CHECK_OK(unit_of_cgroup(cases[i].text, &unit, &user));
		if (strcmp(unit, cases[i].unit) != 0 || user != cases[i].user)
			test_fail(__FILE__, __LINE__, "%s: \"%s\"", cases[i].name, unit);
	}
}

TEST(a_process_that_is_gone_is_an_error)
{
	char *unit;
	Err err = ERR_INIT;
	CHECK_ERR(unit_of_pid(999999999, &unit, &err), ENOENT);
}

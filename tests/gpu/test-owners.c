/* Whose a process is: from the text of /proc, and among real processes. */
#include "gpu/owners.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "gpu/procid.h"
#include "gpu/proctext.h"
#include "test.h"

#define ID "3f2a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"

TEST(the_cgroup_that_says_most)
{
	static const struct {
		const char *text, *path;
	} cases[] = {
	    {"0::/system.slice/judge.service\n", "/system.slice/judge.service"},
	    /* Hybrid: version 1 controllers, systemd's own hierarchy, and an unused unified one. */
	    {"12:memory:/system.slice/judge.service\n11:cpu,cpuacct:/\n"
	     "1:name=systemd:/system.slice/judge.service\n0::/\n",
	     "/system.slice/judge.service"},
	    {"12:memory:/other\n1:name=systemd:/user.slice\n0::/system.slice/a.service\n",
	     "/system.slice/a.service"},
	    /* A runtime that knows nothing of systemd. */
	    {"2:memory:/docker/" ID "\n1:name=systemd:/\n", "/docker/" ID},
	    {"0::/\n", "/"},
	    {"", ""},
	    {"nonsense\n::\n1:\n", ""},
	    {"0::/a b:c\n", "/a b:c"},
	    {"0::/without-newline", "/without-newline"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		_cleanup_free_ char *path = path_of_cgroups(cases[i].text);
		CHECK_STR(path, cases[i].path);
	}
}

TEST(where_a_process_runs)
{
	static const struct {
		const char *cgroup, *home;
	} cases[] = {
	    {"/system.slice/judge.service", "judge.service"},
	    {"/system.slice/system-dream.slice/dream-trial@3.service", "dream-trial@3.service"},
	    {"/system.slice/docker-" ID ".scope", "docker 3f2a1b4c5d6e"},
	    {"/docker/" ID, "docker 3f2a1b4c5d6e"},
	    {"/docker/" ID "/system.slice/inner.service", "inner.service"},
	    {"/machine.slice/libpod-" ID ".scope/container", "podman 3f2a1b4c5d6e"},
	    {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope",
	     "podman 3f2a1b4c5d6e"},
	    {"/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope",
	     "container 3f2a1b4c5d6e"},
	    {"/kubepods/besteffort/pod9/" ID, "container 3f2a1b4c5d6e"},
	    {"/lxc.payload.box/ns", "lxc box"},
	    {"/user.slice/user-1000.slice/session-3.scope", "user session"},
	    {"/user.slice/user-1000.slice/user@1000.service/app.slice/judge.service",
	     "judge.service"},
	    {"/user.slice/user-1000.slice/user@1000.service", "user session"},
	    {"/system.slice/docker-short.scope", "docker-short.scope"},
	    {"/", ""},
	    {"", ""},
	    {"/.service", ""},
	    {"//////", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		_cleanup_free_ char *home = home_of_cgroup(cases[i].cgroup);
		printf("# %s\n", cases[i].cgroup);
		CHECK_STR(home, cases[i].home);
	}
}

#define LINE(text) text, sizeof(text)

TEST(a_command_line_without_its_secrets)
{
	static const struct {
		const char *text;
		size_t len;
		const char *words;
	} cases[] = {
	    {LINE("vllm\0serve\0model\0--max-model-len\0002048"),
	     "vllm serve model --max-model-len 2048"},
	    {LINE("s\0--api-key\0sesame\0--port\0008000"), "s --api-key ... --port 8000"},
	    {LINE("s\0--api-key=sesame"), "s --api-key=..."},
	    {LINE("s\0--hf-token\0hf_sesame"), "s --hf-token ..."},
	    {LINE("s\0--max-tokens\000512"), "s --max-tokens 512"},
	    {LINE("s\0--max-num-batched-tokens=2048"), "s --max-num-batched-tokens=2048"},
	    {LINE("s\0--tokenizer\0x"), "s --tokenizer x"},
	    {LINE("env\0HF_TOKEN=sesame\0s"), "env HF_TOKEN=... s"},
	    {LINE("env\0DB_PASSWORD=sesame"), "env DB_PASSWORD=..."},
	    {LINE("curl\0https://me:sesame@host/x"), "curl ..."},
	    {LINE("curl\0https://host/a@b"), "curl https://host/a@b"},
	    {LINE("curl\0-H\0Authorization: Bearer sesame"), "curl -H ..."},
	    {LINE("sh\0-c\0export TOKEN=sesame; exec s"), "sh -c ..."},
	    {LINE("s\0sk-sesame"), "s ..."},
	    {LINE("s\0--password\0--quiet\0x"), "s --password --quiet x"},
	    {LINE("a\033[31m\0b\nc"), "a\\x1b[31m b\\nc"},
	    {LINE(""), ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		_cleanup_free_ char *words = words_of_cmdline(cases[i].text, cases[i].len);
		CHECK_STR(words, cases[i].words);
		CHECK(!strstr(words, "sesame"));
	}
}

TEST(a_command_line_without_end_is_cut)
{
	char text[4096];
	memset(text, 'x', sizeof(text));
	_cleanup_free_ char *words = words_of_cmdline(text, sizeof(text));
	CHECK(words && strlen(words) < 300);
}

/* --- Real processes -------------------------------------------------------------------------- */

static pid_t child(void)
{
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(a_leader_has_itself_and_no_stranger)
{
	pid_t a = child(), b = child();
	Owner o = {.name = "a", .leader = a};
	CHECK(owner_has(&o, a));
	CHECK(!owner_has(&o, b));
	CHECK(!owner_has(&o, getpid()));
	CHECK(!owner_has(&o, 1));
	end(a);
	CHECK(!owner_has(&o, a));
	end(b);
}

TEST(an_owner_of_nothing_has_nobody)
{
	Owner o = {.name = "x"};
	CHECK(!owner_has(&o, getpid()));
	o.cgroup = "/";
	CHECK(!owner_has(&o, getpid()));
	o.cgroup = "";
	CHECK(!owner_has(&o, getpid()));
}

TEST(a_cgroup_has_those_below_it_by_whole_names)
{
	_cleanup_free_ char *mine = NULL;
	CHECK_OK(process_cgroup(getpid(), &mine));
	if (!*mine || strcmp(mine, "/") == 0)
		SKIP("this process is in the root of the cgroups");
	Owner o = {.name = "x", .cgroup = mine};
	CHECK(owner_has(&o, getpid()));
	size_t n = strlen(mine);
	mine[n - 1] = '\0'; /* a name that only begins the same */
	if (n > 2)
		CHECK(!owner_has(&o, getpid()));
}

/* A family as services make it: a child, its child, and one that left the family, its group and
 * its session. Their numbers come back on a pipe. */
static const char family[] = "sleep 100 & echo $!;"
			     "sh -c 'sleep 100 & echo $!; wait' &"
			     "( setsid sh -c 'echo $$; exec sleep 100' & )\n"
			     "echo end; exec sleep 100";

static size_t read_pids(const Proc *p, pid_t *ret, size_t max)
{
	char text[512] = "";
	size_t len = 0, n = 0, lines = 0;
	int64_t until = clock_mono_us(&clock_system) + 10000000;
	while (lines < 4 && clock_mono_us(&clock_system) < until) {
		struct pollfd fd = {.fd = p->out, .events = POLLIN};
		if (poll(&fd, 1, 1000) <= 0)
			continue;
		ssize_t k = read(p->out, text + len, sizeof(text) - 1 - len);
		if (k <= 0)
			break;
		len += (size_t)k;
		text[len] = '\0';
		lines = 0;
		for (const char *c = text; *c; c++)
			lines += *c == '\n';
	}
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		long pid = strtol(line, NULL, 10);
		if (pid > 0 && n < max)
			ret[n++] = (pid_t)pid;
		if (!strchr(line, '\n'))
			break;
	}
	return n;
}

TEST(a_family_is_found_whole_even_who_left_it)
{
	static const char *const argv[] = {"sh", "-c", family, NULL};
	ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	_cleanup_(proc_done) Proc p = PROC_INIT;
	pid_t pids[8], stranger = child();
	CHECK_OK(proc_spawn(&spec, &p, NULL));
	size_t n = read_pids(&p, pids, 8);
	CHECK_INT(n, 3);
	Owner o = {.name = "family", .leader = p.pid};
	CHECK(owner_has(&o, p.pid));
	for (size_t i = 0; i < n; i++)
		CHECK(owner_has(&o, pids[i]));
	CHECK(!owner_has(&o, stranger));
	CHECK(!owner_has(&o, p.guard));

	_cleanup_free_ pid_t *all = NULL;
	size_t n_all = 0;
	CHECK_OK(owner_pids(&o, &all, &n_all));
	CHECK(n_all >= n + 1);
	for (size_t i = 1; i < n_all; i++)
		CHECK(all[i - 1] < all[i]);
	for (size_t i = 0; i < n_all; i++)
		CHECK(all[i] != stranger && all[i] != getpid() && all[i] != p.guard);
	end(stranger);
}

TEST(two_services_of_one_parent_do_not_mix)
{
	static const char *const argv[] = {"sleep", "100", NULL};
	ProcSpec spec = {.argv = argv, .stdin_path = "/dev/null", .stderr_fd = -1};
	_cleanup_(proc_done) Proc a = PROC_INIT;
	_cleanup_(proc_done) Proc b = PROC_INIT;
	CHECK_OK(proc_spawn(&spec, &a, NULL));
	CHECK_OK(proc_spawn(&spec, &b, NULL));
	Owner o = {.name = "a", .leader = a.pid};
	CHECK(owner_has(&o, a.pid));
	CHECK(!owner_has(&o, b.pid));
}

TEST(our_own_words)
{
	_cleanup_free_ char *words = NULL, *home = NULL;
	CHECK_OK(process_words(getpid(), &words));
	CHECK(strstr(words, "test-owners"));
	CHECK_OK(process_home(getpid(), &home));
	CHECK(home);
}

TEST(a_process_that_is_gone_has_no_words)
{
	_cleanup_free_ char *words = NULL, *home = NULL, *cgroup = NULL;
	pid_t pid = child();
	end(pid);
	CHECK_OK(process_words(pid, &words));
	CHECK_STR(words, "");
	CHECK_OK(process_home(pid, &home));
	CHECK_STR(home, "");
	CHECK_OK(process_cgroup(pid, &cgroup));
	CHECK_STR(cgroup, "");
}

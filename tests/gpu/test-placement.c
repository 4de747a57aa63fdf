/* Whether a service is proved to run on the GPU, case by case. */
#include "gpu/placement.h"

#include "test.h"

#define MIB(n) ((int64_t)(n) << 20)

typedef struct Case {
	const char *what;
	GpuProcess processes[4];
	size_t n_processes;
	bool unlisted;
	size_t n_pids; /* of 100, 101, 102 */
	int64_t expected_mib;
	Placement placement;
	int64_t used_bytes;
	const char *says;
} Case;

static const Case cases[] = {
    {"one process with what it must hold",
     {{100, GPU_COMPUTE, MIB(5000), true}},
     1,
     false,
     1,
     4000,
     PLACED,
     MIB(5000),
     "hold"},
    {"the sum of several",
     {{100, GPU_COMPUTE, MIB(300), true}, {102, GPU_COMPUTE, MIB(3800), true}},
     2,
     false,
     3,
     4000,
     PLACED,
     MIB(4100),
     "2 processes of judge hold 4100 MiB"},
    {"exactly enough",
     {{100, GPU_COMPUTE, MIB(4000), true}},
     1,
     false,
     1,
     4000,
     PLACED,
     MIB(4000),
     "4000"},
    {"a context alone, the model on the CPU",
     {{100, GPU_COMPUTE, MIB(120), true}},
     1,
     false,
     1,
     4000,
     PLACED_LITTLE,
     MIB(120),
     "only 120 MiB"},
    {"only others",
     {{55, GPU_COMPUTE, MIB(9000), true}},
     1,
     false,
     2,
     4000,
     PLACED_NOT,
     0,
     "none of the 2 processes of judge"},
    {"nobody at all", {{0}}, 0, false, 1, 4000, PLACED_NOT, 0, "none of the 1 process of"},
    {"nothing expected, and not there", {{0}}, 0, false, 1, 0, PLACED_NOT, 0, "none of the"},
    {"nothing expected, and there",
     {{100, GPU_GRAPHICS, MIB(3), true}},
     1,
     false,
     1,
     0,
     PLACED,
     MIB(3),
     "holds 3 MiB"},
    {"a service that has ended",
     {{55, GPU_COMPUTE, MIB(9000), true}},
     1,
     false,
     0,
     4000,
     PLACED_NOT,
     0,
     "no running process"},
    {"bytes that the driver does not know",
     {{101, GPU_COMPUTE, -1, true}},
     1,
     false,
     2,
     4000,
     PLACED_UNKNOWN,
     -1,
     "does not say how much"},
    {"a known part that is enough beside an unknown one",
     {{100, GPU_COMPUTE, MIB(4100), true}, {101, GPU_COMPUTE, -1, true}},
     2,
     false,
     2,
     4000,
     PLACED,
     -1,
     "hold"},
    {"a known part that is not enough beside an unknown one",
     {{100, GPU_COMPUTE, MIB(100), true}, {101, GPU_COMPUTE, -1, true}},
     2,
     false,
     2,
     4000,
     PLACED_UNKNOWN,
     -1,
     "does not say"},
    {"unknown bytes do not prove even nothing",
     {{100, GPU_COMPUTE, -1, true}},
     1,
     false,
     1,
     0,
     PLACED_UNKNOWN,
     -1,
     "does not say"},
    {"numbers of another namespace that could be its own",
     {{9, GPU_COMPUTE, MIB(4200), false}},
     1,
     false,
     1,
     4000,
     PLACED_NO_LIST,
     -1,
     "another PID namespace"},
    {"numbers of another namespace that hold too little",
     {{9, GPU_COMPUTE, MIB(200), false}},
     1,
     false,
     1,
     4000,
     PLACED_NOT,
     0,
     "none of the 1 process of"},
    {"numbers of another namespace without bytes",
     {{9, GPU_COMPUTE, -1, false}},
     1,
     false,
     1,
     4000,
     PLACED_NO_LIST,
     -1,
     "cannot be proved"},
    {"a library that lists nobody",
     {{0}},
     0,
     true,
     1,
     4000,
     PLACED_NO_LIST,
     -1,
     "lists no processes"},
};

TEST(each_case_is_proved_as_it_is)
{
	static const pid_t pids[] = {100, 101, 102};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const Case *c = &cases[i];
		GpuState s = {.processes_known = !c->unlisted, .n_processes = c->n_processes};
		memcpy(s.processes, c->processes, sizeof(c->processes));
		PlacementProof p =
		    placement_prove(&s, "judge", pids, c->n_pids, MIB(c->expected_mib));
		printf("# %s: %s: %s\n", c->what, placement_name(p.placement), p.reason);
		CHECK_STR(placement_name(p.placement), placement_name(c->placement));
		CHECK_INT(p.used_bytes, c->used_bytes);
		CHECK(strstr(p.reason, c->says));
	}
}

TEST(a_long_name_does_not_leave_the_reason)
{
	char name[600];
	GpuState s = {.processes_known = true};
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	PlacementProof p = placement_prove(&s, name, NULL, 0, 1);
	CHECK(strlen(p.reason) < sizeof(p.reason));
	CHECK_STR(placement_name(p.placement), "not_placed");
}

/* Symptoms in, findings out. */
#include "test.h"

#include "discover/symptoms.h"
#include "service/strings.h"

static const DoctorFinding *find(const DoctorFindings *f, const char *check, FindingLevel level)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->list[i].check, check) == 0 && f->list[i].level == level)
			return &f->list[i];
	return NULL;
}

static FoundGpu card(int major, int minor, int persistence)
{
	return (FoundGpu){.info = {.name = "A card",
				   .uuid = "GPU-1",
				   .cc_major = major,
				   .cc_minor = minor,
				   .persistence = persistence},
			  .processes_known = true};
}

static char name[] = "judge", unit[] = "judge.service", nothing[] = "", some[] = "a unit",
	    end_it[] = "stop it", torch[] = "2.8.0+cu128", number[] = "CUDA_VISIBLE_DEVICES=0";
static Leftover leftover = {some, end_it};

static FoundServer server(const char *kind)
{
	return (FoundServer){.name = name,
			     .kind = server_kind(kind),
			     .pid = 100,
			     .unit = unit,
			     .container = nothing,
			     .active = "active",
			     .sub = "running",
			     .port = 8000,
			     .listens = true,
			     .health = 200};
}

typedef struct Case {
	FoundGpu gpus[2];
	FoundServer server;
	Machine m;
	Symptoms s;
	DoctorFindings f;
} Case;

static void healthy(Case *c)
{
	*c = (Case){.gpus = {card(8, 6, 1), card(8, 6, 1)}, .server = server("vllm")};
	c->m = (Machine){
	    .gpus = c->gpus, .n_gpus = 1, .servers = &c->server, .n_servers = 1, .root = true};
	c->s = (Symptoms){.machine = &c->m, .restart = 1, .now_us = 3600LL * 1000000};
}

TEST(a_healthy_machine_has_no_problem)
{
	Case c;
	healthy(&c);
	CHECK_OK(diagnose(&c.s, &c.f));
	CHECK_INT(findings_count(&c.f, FINDING_PROBLEM), 0);
	CHECK_INT(findings_count(&c.f, FINDING_UNKNOWN), 0);
	findings_done(&c.f);
}

#define PROBLEM_IF(id, check, ...)                                           \
	TEST(id)                                                             \
	{                                                                    \
		Case c;                                                      \
		healthy(&c);                                                 \
		__VA_ARGS__;                                                 \
		CHECK_OK(diagnose(&c.s, &c.f));                              \
		const DoctorFinding *x = find(&c.f, check, FINDING_PROBLEM); \
		CHECK(x != NULL);                                            \
		CHECK(*x->mend != '\0');                                     \
		CHECK_INT(findings_count(&c.f, FINDING_PROBLEM), 1);         \
		findings_done(&c.f);                                         \
	}

PROBLEM_IF(no_nvml, "driver", c.m.nvml = -ENOENT; c.m.n_gpus = 0)
PROBLEM_IF(no_card, "driver", c.m.n_gpus = 0)
PROBLEM_IF(a_card_that_is_gone, "driver", snprintf(c.gpus[0].gone, 160, "fell off the bus"))
PROBLEM_IF(processes_that_are_not_listed, "driver", c.gpus[0].processes_known = false)
PROBLEM_IF(vllm_on_a_gtx_1080_ti, "card", c.gpus[0] = card(6, 1, 1))
PROBLEM_IF(persistence_off, "persistence", c.gpus[0] = card(8, 6, 0))
PROBLEM_IF(several_cards_without_an_order, "order", c.m.n_gpus = 2)
PROBLEM_IF(one_process_at_a_time, "sharing", c.gpus[0].info.compute_mode = 3)
PROBLEM_IF(a_journal_that_may_not_be_read, "journal", c.s.journal = -EACCES)
PROBLEM_IF(no_journal_at_all, "journal", c.s.journal = -ENOENT)
PROBLEM_IF(no_right_to_restart, "units", c.s.restart = 0)
PROBLEM_IF(a_failed_unit, "production",
	   snprintf(c.server.active, sizeof(c.server.active), "failed"))
PROBLEM_IF(a_unit_that_starts_again_and_again, "production", c.server.restarts = 3;
	   c.server.active_since_us = c.s.now_us - 1000000)
PROBLEM_IF(a_server_that_does_not_listen, "production", c.server.listens = false)
PROBLEM_IF(a_server_that_does_not_answer, "production", c.server.health = 0)
PROBLEM_IF(a_server_whose_engine_died, "production", c.server.health = 503)
PROBLEM_IF(a_port_for_everybody, "ports", c.server.exposed = true)
PROBLEM_IF(mistakes_in_the_configuration, "configuration", c.s.config = "dream.yaml";
	   c.s.config_errors = 2)
PROBLEM_IF(what_a_killed_run_left, "leftovers", c.s.leftovers = &leftover; c.s.n_leftovers = 1)

TEST(what_listens_in_a_container_cannot_be_seen)
{
	static char container[] = "docker 3f2a91c04b7d";
	Case c;
	healthy(&c);
	c.server.container = container;
	c.server.listens = false;
	c.server.health = -1;
	CHECK_OK(diagnose(&c.s, &c.f));
	CHECK_INT(findings_count(&c.f, FINDING_PROBLEM), 0);
	CHECK(find(&c.f, "production", FINDING_UNKNOWN) != NULL);
	findings_done(&c.f);
}

TEST(restarts_of_long_ago_are_past)
{
	Case c;
	healthy(&c);
	c.server.restarts = 3;
	c.server.active_since_us = 1;
	CHECK_OK(diagnose(&c.s, &c.f));
	CHECK_INT(findings_count(&c.f, FINDING_PROBLEM), 0);
	findings_done(&c.f);
}

TEST(cards_chosen_by_number_are_a_problem_only_where_there_are_several)
{
	Case c;
	healthy(&c);
	c.server.command.env = (char *[]){number, NULL};
	c.s.device_order = "PCI_BUS_ID";
	CHECK_OK(diagnose(&c.s, &c.f));
	CHECK(find(&c.f, "order", FINDING_PROBLEM) == NULL);
	findings_done(&c.f);
	c.m.n_gpus = 2;
	CHECK_OK(diagnose(&c.s, &c.f));
	CHECK(find(&c.f, "order", FINDING_PROBLEM) != NULL);
	findings_done(&c.f);
}

TEST(which_cards_a_pytorch_has_code_for)
{
	static const struct {
		const char *version;
		int lowest;
	} rows[] = {
	    {"2.7.1+cu126", 50},  {"2.8.0+cu128", 70},
	    {"2.8.0+cu129", 70},  {"2.8.0+cu126", 50},
	    {"2.11.0+cu128", 75}, {"2.9.1+cu130", 75},
	    {"2.8.0", 0},	  {"2.8.0+cpu", 0},
	    {"garbage", 0},	  {"", 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		CHECK_INT(torch_lowest(rows[i].version), rows[i].lowest);
}

TEST(an_old_card_with_a_new_pytorch_is_told_with_both_versions)
{
	Case c;
	healthy(&c);
	c.gpus[0] = card(6, 1, 1);
	c.server.kind = server_kind("openai-stt");
	c.server.torch = torch;
	CHECK_OK(diagnose(&c.s, &c.f));
	const DoctorFinding *x = find(&c.f, "card", FINDING_PROBLEM);
	CHECK(x != NULL);
	CHECK(strstr(x->what, "6.1") != NULL && strstr(x->what, "2.8.0+cu128") != NULL);
	findings_done(&c.f);
}

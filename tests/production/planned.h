#pragma once
/* A unit and what it reads as a table, and the plan of its adoption. */
#include "base/file.h"
#include "base/json.h"
#include "production/adoption.h"
#include "production/generation.h"
#include "test.h"

#define STATE "/var/lib/dream-production"

typedef struct File {
	const char *path, *text;
} File;

/* A unit and what it reads; `wishes` in the words of the command line. */
typedef struct Case {
	const char *unit;
	File files[4]; /* of the unit */
	File reads[4];
	const char *wishes[6];
	const char *value;
	char *after[3];
	bool user;
} Case;

static inline int read_file(void *ctx, const char *path, char **ret, Err *err)
{
	const Case *c = ctx;
	(void)err;
	*ret = NULL;
	for (const File *f = c->reads; f->path; f++)
		if (strcmp(f->path, path) == 0) {
			*ret = strdup(f->text);
			return *ret ? 0 : -ENOMEM;
		}
	return 0;
}

typedef struct Planned {
	Adoption a;
	char *dropin;
	json_t *values;
	Err err;
	int r;
} Planned;

static inline void planned_done(Planned *p)
{
	adoption_done(&p->a);
	free(p->dropin);
	json_decref(p->values);
}

#define PLANNED(p, c) __attribute__((cleanup(planned_done))) Planned p = plan(c)

static inline size_t take_files(const Case *c, UnitFile *files)
{
	size_t n = 0;
	for (; n < 4 && c->files[n].path; n++)
		files[n] = (UnitFile){strdup(c->files[n].path), strdup(c->files[n].text)};
	return n;
}

static inline void drop_files(UnitFile *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(files[i].path);
		free(files[i].text);
	}
}

static inline Planned plan(const Case *c)
{
	Planned p = {.err = ERR_INIT};
	UnitFile files[4];
	AdoptWish wishes[6] = {0};
	_cleanup_free_ char *dropin = NULL;
	AdoptInput in = {.unit = c->unit ? c->unit : "judge.service",
			 .files = files,
			 .state_dir = STATE,
			 .user = c->user,
			 .home = "/root",
			 .read_file = read_file,
			 .ctx = (void *)(uintptr_t)c,
			 .wishes = wishes,
			 .after = c->after};
	in.n_files = take_files(c, files);
	dropin = str_fmt("/etc/systemd/system/%s.d/zz-dream.conf", in.unit);
	in.dropin = dropin;
	for (; in.n < 6 && c->wishes[in.n]; in.n++) {
		CHECK_OK(adoptwish_parse(c->wishes[in.n], &wishes[in.n], &p.err));
		if (c->value)
			wishes[in.n].value = strdup(c->value);
	}
	p.r = adoption_plan(&in, &p.a, &p.dropin, &p.values, &p.err);
	for (size_t i = 0; i < in.n; i++)
		adoptwish_done(&wishes[i]);
	drop_files(files, in.n_files);
	return p;
}

/* What the drop-in says below [Service]. */
static inline const char *service_part(const Planned *p)
{
	if (p->r < 0)
		printf("# %s\n", p->err.msg);
	CHECK_OK(p->r);
	const char *at = strstr(p->dropin, "[Service]\n");
	CHECK(at != NULL);
	return at + 10;
}

static inline const char *value_of(const Planned *p, const char *parameter)
{
	return js_str(p->values, parameter, "(none)");
}

#define UNIT(text)                                                              \
	{                                                                       \
		{                                                               \
			"/etc/systemd/system/judge.service", "[Service]\n" text \
		}                                                               \
	}
#define ENV_LINE "EnvironmentFile=" STATE "/current/judge.service.env\n"

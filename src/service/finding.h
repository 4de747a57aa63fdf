#pragma once
/* What the evidence of one service comes to, before it is weighed against the others'. Inside this
 * folder. */
#include "base/proc.h"
#include "server/oom.h"
#include "service/verdict.h"

enum {
	LINE_CHARS = 400, /* of a proving line */
	HITS_MAX = 16,
};

typedef struct OomFinding {
	int64_t events; /* 0: none */
	char *line;	/* the first that proves it, made safe; NULL: no line says it */
	char *by;	/* a neighbour in words; NULL */
	json_t *proofs; /* array of {"source", ...} */
} OomFinding;

typedef struct Finding {
	const ServiceEvidence *service;
	ServerWords words;
	OomFinding oom[OOM_HOST + 1]; /* by OomKind */
	bool failed_start, died, on_cpu, unhealthy;
	char *last_line; /* of its output; NULL: it said nothing */
} Finding;

int finding_make(const TrialEvidence *e, const ServiceEvidence *s, Finding *ret) _must_check_;
void finding_done(Finding *f);
/* As evidence. NULL: out of memory. */
json_t *finding_json(const Finding *f);
const char *oom_kind_name(OomKind k);

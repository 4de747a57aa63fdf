#pragma once
/* Inside server: a row for each kind. What a row leaves out, kinds.c does for all. */
#include "server/server.h"

enum {
	SPELLINGS_MAX = 5, /* of one flag, the terminating NULL counted */
};

/* Where a setting goes. */
typedef struct SettingPlace {
	const char *name;		  /* as in dream.yaml: "ctx_size" */
	const char *flags[SPELLINGS_MAX]; /* the first is the one that is written; none: see env */
	bool is_switch;			  /* a flag without a value */
	const char *off;  /* the switch that says no, where leaving it out does not; NULL */
	const char *env;  /* a variable instead; NULL */
	const char *also; /* a variable that says the same where the flag does not; NULL */
	bool by_request;  /* neither: it goes into requests (Ollama's options) */
} SettingPlace;

/* A line that tells that a start failed, or how it runs. Both parts must be in it. */
typedef struct LinePattern {
	const char *part, *and_part; /* and_part NULL: one is enough */
	const char *cause;	     /* "port", "model", ...; "cpu": it runs on the CPU */
} LinePattern;

/* A number in a line: what stands behind `after` (commas are no end of it). */
typedef struct NumberPattern {
	const char *after;
	const char *fact; /* its name in ServerWords.facts */
	double factor;	  /* 0: 1 */
	bool sum;	  /* of all such lines: one a device */
} NumberPattern;

/* A sample of its metrics page and what we call it. */
typedef struct MetricName {
	const char *metric, *name;
	double factor; /* 0: 1 */
} MetricName;

struct ServerKind {
	const char *name;
	ServerRole role;
	Protocol protocol;
	bool speaks_http, any_flag;   /* any_flag: a setting that is not listed is --its-name */
	const SettingPlace *settings; /* ends with a NULL name */
	const char *host_flags[SPELLINGS_MAX], *port_flags[SPELLINGS_MAX];
	uint16_t default_port;
	const char *health_path, *account_path, *metrics_path;
	const LinePattern *lines;     /* end with a NULL part */
	const NumberPattern *numbers; /* end with a NULL after */
	const MetricName *metrics;    /* end with a NULL metric */

	/* Each may be NULL. */
	bool (*recognise)(char *const *argv);
	HealthVerdict (*health)(int status, const char *body, size_t len);
	int (*set_listen)(ServerCommand *c, const char *host, uint16_t port, Err *err);
	bool (*listen)(const ServerCommand *c, uint16_t *ret_port);
	const char *(*model)(const ServerCommand *c); /* borrowed from it */
	int (*set_model)(ServerCommand *c, const char *model);
	bool (*on_cpu)(const ServerCommand *c); /* told to run on the CPU */
	bool (*load_request)(const ServerCommand *c, const json_t *settings, char **ret_path,
			     char **ret_body);
	int (*account)(const char *body, size_t len, int64_t *ret_gpu, int64_t *ret_all);
	/* Beyond the patterns. */
	int (*words)(const char *text, size_t len, ServerWords *w, Err *err);
};

extern const ServerKind kind_vllm, kind_llamacpp, kind_ollama, kind_whispercpp, kind_openai_stt,
    kind_command;

/* Does the word stand alone in the command line (not as a value of ours to know)? Its index, or 0.
 */
size_t word_at(char *const *argv, const char *word);
/* Is one of the words a container image whose name has this part? "vllm/vllm-openai:v0.11.0" */
bool runs_image(char *const *argv, const char *part);

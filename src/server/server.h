#pragma once
/* The kinds of model server, one file each: how a setting becomes a flag or a variable, how the
 * server is asked, what its start-up says, what tells that it is ready. Knows texts and names;
 * starts nothing. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loadgen/traffic.h"
#include "server/command.h"
#include "space/service.h"

typedef enum ServerRole {
	ROLE_NONE, /* a neighbour: only there */
	ROLE_LLM,
	ROLE_STT,
} ServerRole;

typedef struct ServerKind ServerKind; /* a table row; see kind.h */

const ServerKind *server_kind(
    const char *name); /* "vllm", "llamacpp", "ollama", "whispercpp", "openai-stt", "command" */
const char *server_kind_name(const ServerKind *k);
const char *const *server_kind_names(void); /* NULL-terminated */
ServerRole server_role(const ServerKind *k);
bool server_speaks_http(const ServerKind *k);
Protocol server_protocol(const ServerKind *k);
bool server_wants_gpu(const ServerKind *k,
		      const ServerCommand *c); /* false: told to run on the CPU */

/* Which kind would such a command line be? NULL: none we know. */
const ServerKind *server_recognise(char *const *argv);

/* Puts settings into the command; only those that are in `settings`. `spec` says where a kind's own
 * knowledge does not reach (its `places` and `values`); NULL: it reaches. -EINVAL with the sentence
 * what cannot be set and how it could. */
int server_apply(const ServerKind *k, const ServiceSpec *spec, const json_t *settings,
		 ServerCommand *c, Err *err) _must_check_;
/* What the command sets now, as settings: for `dream init` and read-back. New object; NULL: out of
 * memory. */
json_t *server_settings(const ServerKind *k, const ServerCommand *c);
/* The host and port it will listen on. -EINVAL for a kind that cannot be told. */
int server_set_listen(const ServerKind *k, ServerCommand *c, const char *host, uint16_t port,
		      Err *err) _must_check_;
int server_listen(const ServerKind *k, const ServerCommand *c,
		  uint16_t *ret_port); /* the port that it says or has by default */
/* What requests name as the model: as the command says it; "" when none is needed. New string. */
int server_model(const ServerKind *k, const ServerCommand *c, char **ret, Err *err) _must_check_;

/* --- Readiness ------------------------------------------------------------------------------- */

typedef enum HealthVerdict {
	HEALTH_READY,	/* it says so; a first real request is still to come */
	HEALTH_LOADING, /* wait */
	HEALTH_BROKEN,	/* it will not become ready */
} HealthVerdict;

const char *server_health_path(const ServerKind *k); /* NULL: none */
HealthVerdict server_health(const ServerKind *k, int status, const char *body, size_t len);
/* A request that must be sent before the first real one (Ollama: load the model and pin it); false:
 * none. The strings are owned by the caller. */
bool server_load_request(const ServerKind *k, const ServerCommand *c, const json_t *settings,
			 char **ret_path, char **ret_body);
/* What every request must carry of the settings, so that the server does not load the model anew
 * (Ollama's options). New object, empty for most kinds; NULL: out of memory. */
json_t *server_ask(const ServerKind *k, const json_t *settings);
/* What a look at the server's own account of its memory says (Ollama /api/ps: size_vram below
 * size). NULL: there is no such page. */
const char *server_account_path(const ServerKind *k);
/* Bytes it says are on the GPU, and in all; -ENODATA: it does not say. */
int server_account(const ServerKind *k, const char *body, size_t len, int64_t *ret_gpu_bytes,
		   int64_t *ret_all_bytes);

/* --- What it says ---------------------------------------------------------------------------- */

/* Read from its output or journal, at any time. */
typedef struct ServerWords {
	bool failed;	/* a line says why the start cannot succeed, or that it failed */
	char cause[32]; /* "kv_cache", "oom", "port", "model", "arguments", "library", "timeout"; ""
			   when no more is said */
	char *line;	/* the line that says it, made safe; NULL */
	bool cpu;	/* a line says that it runs on the CPU */
	char *cpu_line;
	json_t *facts; /* numbers it gave: kv_gib, kv_tokens, weights_gib, device_gib, load_s ...;
			  NULL: none */
} ServerWords;

int server_words(const ServerKind *k, const char *text, size_t len, ServerWords *ret,
		 Err *err) _must_check_;
void server_words_done(ServerWords *w);

/* Counters of its metrics page that tell how it is doing: {"running", "waiting", "kv_used_pct",
 * "preemptions", ...}. NULL path: it has none. */
const char *server_metrics_path(const ServerKind *k);
int server_metrics(const ServerKind *k, const char *body, size_t len, json_t **ret,
		   Err *err) _must_check_;

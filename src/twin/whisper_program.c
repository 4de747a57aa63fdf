/* The life of a Whisper server: whisper.cpp's command line or openai-whisper's, the load's peak of
 * memory, and the CPU when the card is full. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "twin/programs.h"
#include "twin/whisper.h"

enum {
	GRACE_US = 5000000,
};

static Whisper *whisper_of(Program *p)
{
	return (Whisper *)p;
}

/* --- Command line ---------------------------------------------------------------------------- */

/* Those with effect. The letters are whisper.cpp's. */
static const char *const flags[][2] = {
    {"-m", "model"},	    {"--model", "model"},	  {"--host", "host"},
    {"--port", "port"},	    {"--inference-path", "path"}, {"--request-path", "prefix"},
    {"-bs", "beams"},	    {"--beam-size", "beams"},	  {"--transcripts", "transcripts"},
    {"--device", "device"},
};

static const char *const switches[][2] = {
    {"-ng", "cpu"},
    {"--no-gpu", "cpu"},
};

/* Flags of the real one that take a value, and that do not: without effect here. */
static const char *const idle_flags[] = {
    "-t",
    "--threads",
    "-p",
    "--processors",
    "-ot",
    "--offset-t",
    "-on",
    "--offset-n",
    "-d",
    "--duration",
    "-mc",
    "--max-context",
    "-ml",
    "--max-len",
    "-bo",
    "--best-of",
    "-ac",
    "--audio-ctx",
    "-wt",
    "--word-thold",
    "-et",
    "--entropy-thold",
    "-lpt",
    "--logprob-thold",
    "-l",
    "--language",
    "--prompt",
    "-oved",
    "--ov-e-device",
    "-dtw",
    "--dtw",
    "-nth",
    "--no-speech-thold",
    "--public",
    "--tmp-dir",
    "--compute-type",
    "--threads-per",
    NULL,
};

static const char *const idle_switches[] = {
    "-sow",
    "--split-on-word",
    "-debug",
    "--debug-mode",
    "-tr",
    "--translate",
    "-di",
    "--diarize",
    "-tdrz",
    "--tinydiarize",
    "-nf",
    "--no-fallback",
    "-fa",
    "--flash-attn",
    "-nfa",
    "--no-flash-attn",
    "-ps",
    "--print-special",
    "-pc",
    "--print-colors",
    "-pr",
    "--print-realtime",
    "-pp",
    "--print-progress",
    "-nt",
    "--no-timestamps",
    "-dl",
    "--detect-language",
    "--convert",
    "-sns",
    "--suppress-nst",
    "-nc",
    "--no-context",
    "--vad",
    "--fp16",
    NULL,
};

static const char *meaning(const char *const (*list)[2], size_t n, const char *arg)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i][0], arg) == 0)
			return list[i][1];
	return NULL;
}

static int mistake(const char *what, const char *arg)
{
	fprintf(stderr, "error: %s: %s\n", what, arg);
	return -EINVAL;
}

static int whole(const char *flag, const char *text, int64_t min, int64_t max, int64_t *ret)
{
	char *end = NULL;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (!*text || *end || errno != 0 || v < min || v > max)
		return mistake(flag, text);
	*ret = v;
	return 0;
}

static int set(WhisperArgs *a, const char *flag, const char *what, const char *value)
{
	if (strcmp(what, "model") == 0) {
		a->model = value;
		a->file = strcmp(flag, "-m") == 0 || strchr(value, '/') || strstr(value, ".bin");
	} else if (strcmp(what, "host") == 0) {
		a->host = value;
	} else if (strcmp(what, "path") == 0) {
		a->path = value;
	} else if (strcmp(what, "prefix") == 0) {
		a->prefix = value;
	} else if (strcmp(what, "transcripts") == 0) {
		a->transcripts = value;
	} else if (strcmp(what, "device") == 0) {
		a->cpu = strcmp(value, "cpu") == 0;
	} else if (strcmp(what, "port") == 0) {
		return whole(flag, value, 0, 65535, &a->port);
	} else {
		/* -1: greedy */
		return whole(flag, value, -1, 16, &a->beams);
	}
	return 0;
}

/* 1: it was one of the twin's own flags. */
static int twin_flag(WhisperArgs *a, const char *arg, const char *value, bool *ret_alone)
{
	Err err = ERR_INIT;
	if (strncmp(arg, "--", 2) != 0)
		return 0;
	*ret_alone = program_option_is_flag(arg + 2);
	int r = program_option(&a->program, arg + 2, value, &err);
	return r < 0 ? mistake("dream twin", err.msg) : r;
}

static int read_flag(WhisperArgs *a, int argc, char **argv, int *at)
{
	const char *arg = argv[(*at)++], *value = *at < argc ? argv[*at] : NULL;
	bool alone = false;
	int r = twin_flag(a, arg, value, &alone);
	if (r != 0) {
		*at += !alone;
		return r < 0 ? r : 0;
	}
	if (meaning(switches, sizeof(switches) / sizeof(*switches), arg)) {
		a->cpu = true;
		return 0;
	}
	if (words_have(idle_switches, arg))
		return 0;
	const char *what = meaning(flags, sizeof(flags) / sizeof(*flags), arg);
	if (!what && !words_have(idle_flags, arg))
		return mistake("unknown argument", arg);
	if (!value)
		return mistake("an argument is missing", arg);
	(*at)++;
	return what ? set(a, arg, what, value) : 0;
}

static int help(void)
{
	printf("usage: dream twin whisper -m models/ggml-small.bin [options]\n"
	       "       dream twin whisper --model small --device cuda [options]\n\n"
	       "A Whisper server on a simulated box. Takes the options of whisper.cpp's server; "
	       "these have effect:\n"
	       "  -m, --model, --host, --port, --inference-path, --request-path, -bs, -ng\n"
	       "  --device cuda|cpu\n"
	       "  --transcripts DIR what is said in clips: NAME.txt for NAME.wav, or the SHA-256\n"
	       "                    of the clip with .txt\n\n%s%s",
	       program_help, faults_help);
	return 0;
}

int whisper_args(int argc, char **argv, WhisperArgs *ret)
{
	WhisperArgs a = {.model = "models/ggml-base.en.bin",
			 .file = true,
			 .host = "127.0.0.1",
			 .port = 8080,
			 .path = "/inference",
			 .prefix = "",
			 .beams = 1};
	Err err = ERR_INIT;
	int r = program_options(&a.program, &err);
	if (r < 0)
		return mistake("dream twin", err.msg);
	for (int at = 0; at < argc && r == 0;) {
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
			return help();
		r = read_flag(&a, argc, argv, &at);
	}
	if (a.beams < 1)
		a.beams = 1;
	*ret = a;
	return r < 0 ? r : 1;
}

/* --- Start ----------------------------------------------------------------------------------- */

static void say(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%s\n", text);
}

/* "models/ggml-large-v3-q5_0.bin" is a large-v3, "small.en" a small. The longest name of the box
 * that stands there. */
static const WhisperModel *model_of(const Box *b, const char *name)
{
	const WhisperModel *models = b->whisper.models.items, *best = NULL;
	const char *at = path_base(name);
	if (strncmp(at, "ggml-", 5) == 0)
		at += 5;
	for (size_t i = 0; i < b->whisper.models.n; i++) {
		size_t n = strlen(models[i].name);
		if (strncmp(at, models[i].name, n) != 0 || !strchr(".-_", at[n]))
			continue; /* strchr finds the end of the name, too */
		if (!best || n > strlen(best->name))
			best = &models[i];
	}
	return best;
}

static int no_model(const Whisper *w)
{
	const char *name = w->args.model;
	if (w->args.file)
		fprintf(stderr,
			"whisper_init_from_file_with_params_no_state: loading model from '%s'\n"
			"whisper_init_from_file_with_params_no_state: failed to open '%s'\n"
			"error: failed to initialize whisper context\n",
			name, name);
	else
		fprintf(stderr, "RuntimeError: Model %s not found\n", name);
	return w->args.file ? 3 : 1;
}

/* Another size than the one that was asked for. */
static const WhisperModel *another(const Box *b, const WhisperModel *m)
{
	const WhisperModel *models = b->whisper.models.items;
	return m != models || b->whisper.models.n < 2 ? models : models + 1;
}

static int listen_now(Whisper *w)
{
	Err err = ERR_INIT;
	const HttpServerSpec spec = {
	    .host = w->args.host,
	    .port = (uint16_t)w->args.port,
	    .serve = whisper_serve,
	    .closed = whisper_closed,
	    .ctx = w,
	};
	int r = program_can_listen(spec.host, spec.port);
	if (r == 0)
		r = program_listen(&w->program, &spec, &err);
	if (r < 0)
		fprintf(stderr, "\ncouldn't bind to server socket: hostname=%s port=%u\n\n",
			spec.host, spec.port);
	return r;
}

static int stage(Program *p, int number, int64_t *ret_us)
{
	Whisper *w = whisper_of(p);
	if (number == 1) {
		*ret_us = 0;
		return stt_loaded(&w->stt) < 0 ? -ENOMEM : !p->host.failed;
	}
	if (listen_now(w) < 0) {
		p->host.failed = true;
		return 0;
	}
	if (w->args.file)
		fprintf(stderr,
			"whisper_init_from_file_with_params_no_state: loading model from '%s'\n"
			"whisper_init_with_params_no_state: use gpu    = %d\n",
			w->args.model, !w->args.cpu);
	int r = stt_load(&w->stt, w->args.cpu || p->o.faults.cpu, ret_us);
	return r < 0 ? r : !p->host.failed;
}

static int ready(Program *p)
{
	Whisper *w = whisper_of(p);
	printf("\nwhisper server listening at http://%s:%u\n\n", w->args.host,
	       httpserver_port(p->server));
	return 0;
}

/* --- End ------------------------------------------------------------------------------------- */

/* The card is lost: whoever asks is told, and the server goes on being of no use. */
static void died(Program *p)
{
	Whisper *w = whisper_of(p);
	w->dead = true;
	whisper_drop_all(w, true);
}

static int grace_over(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	program_end(userdata, 0);
	return 0;
}

void whisper_idle(Whisper *w)
{
	if (w->stopping && !w->clips)
		(void)sd_event_source_set_time_relative(w->grace, 0);
}

static void stop(Program *p)
{
	Whisper *w = whisper_of(p);
	if (w->stopping)
		return;
	w->stopping = true;
	if (sd_event_add_time_relative(p->loop, &w->grace, CLOCK_MONOTONIC, w->clips ? GRACE_US : 0,
				       1000, grace_over, p) < 0)
		program_end(p, 0);
}

static const ProgramKind kind = {
    .stage = stage,
    .n_stages = 2,
    .slow_stage = 1,
    .ready = ready,
    .died = died,
    .stop = stop,
};

static int run(Whisper *w)
{
	Program *p = &w->program;
	int r = program_open(p, &w->args.program, &kind, "whisper-server");
	if (r != 0)
		return r;
	const WhisperModel *m = model_of(p->box, w->args.model);
	if (!m)
		return no_model(w);
	if (p->o.faults.wrong_model)
		m = another(p->box, m);
	snprintf(w->size, sizeof(w->size), "%s", m->name);
	p->service = (Service){.name = "whisper", .say = say, .say_ctx = w};
	p->service.set =
	    (Settings){.kind = SERVICE_WHISPER, .whisper = {.model = m, .beams = w->args.beams}};
	w->stt = (Stt){.host = &p->host,
		       .service = &p->service,
		       .hear = whisper_hear,
		       .hear_ctx = w,
		       .content = rng_derive(0, "twin clips", 0)};
	return program_run(p);
}

int twin_whisper(int argc, char **argv)
{
	Whisper *w = calloc(1, sizeof(*w));
	if (!w)
		return 1;
	int r = whisper_args(argc, argv, &w->args);
	if (r > 0) {
		r = run(w);
		w->stopping = false;
		whisper_drop_all(w, false);
		stt_done(&w->stt);
		sd_event_source_disable_unref(w->grace);
		program_close(&w->program);
	} else if (r < 0) {
		r = 2;
	}
	free(w);
	return r;
}

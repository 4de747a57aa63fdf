/* Writes a speech recogniser with random weights that whisper-server loads:
 *
 *	mkwhisper [--state N] [--heads N] [--layers N] [--text-context N] [--seed N] FILE
 *
 * The format of whisper.cpp's ggml files, multilingual. Memory and speed are those of the shape;
 * what it hears is noise, and it never stops by itself: an answer has (text context) / 2 - 4
 * tokens. By default 8 MB and answers of 8 tokens. The shapes of the published sizes, with
 * --text-context 448: tiny 384/6/4 (state/heads/layers), base 512/8/6, small 768/12/12. */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "modelfile.h"

enum {
	MAGIC = 0x67676d6c,
	VOCABULARY = 51865, /* what tells a multilingual model */
	WORDS = 50257,	    /* of which have a text; the rest are made up by the reader */
	AUDIO_CONTEXT = 1500,
	MELS = 80,
	BINS = 201, /* of the spectrum: 400 samples */
};

typedef struct Shape {
	uint64_t state, heads, layers, text_context;
} Shape;

/* --- Header ---------------------------------------------------------------------------------- */

static void put_shape(ModelFile *m, const Shape *s)
{
	uint32_t state = (uint32_t)s->state, heads = (uint32_t)s->heads,
		 layers = (uint32_t)s->layers;
	const uint32_t all[] = {
	    MAGIC, VOCABULARY, AUDIO_CONTEXT, state, heads, layers, (uint32_t)s->text_context,
	    state, heads,      layers,	      MELS,  1 /* halves */};
	put_bytes(m, all, sizeof(all));
}

static double to_mel(double hz)
{
	return 2595 * log10(1 + hz / 700);
}

static double to_hz(double mel)
{
	return 700 * (pow(10, mel / 2595) - 1);
}

/* Triangles, evenly spread over the mel scale up to 8 kHz, each of the same area. */
static void put_filters(ModelFile *m)
{
	const double step = to_mel(8000) / (MELS + 1);
	put_u32(m, MELS);
	put_u32(m, BINS);
	for (int i = 0; i < MELS; i++) {
		double low = to_hz(i * step), top = to_hz((i + 1) * step),
		       high = to_hz((i + 2) * step);
		for (int k = 0; k < BINS; k++) {
			double hz = 8000.0 * k / (BINS - 1);
			double up = (hz - low) / (top - low), down = (high - hz) / (high - top);
			put_f32(m, (float)(fmax(0, fmin(up, down)) * 2 / (high - low)));
		}
	}
}

/* The reader looks up " ", " -" and " '" and dies without them. */
static void put_word(ModelFile *m, unsigned id)
{
	char text[16];
	if (id > 32 && id < 127)
		snprintf(text, sizeof(text), "%c", (char)id);
	else if (id == 220 || id == 532 || id == 705)
		snprintf(text, sizeof(text), " %s", id == 220 ? "" : id == 532 ? "-" : "'");
	else
		snprintf(text, sizeof(text), " w%u", id);
	put_u32(m, (uint32_t)strlen(text));
	put_bytes(m, text, strlen(text));
}

static void put_words(ModelFile *m)
{
	put_u32(m, WORDS);
	for (unsigned id = 0; id < WORDS; id++)
		put_word(m, id);
}

/* --- Tensors --------------------------------------------------------------------------------- */

typedef enum Fill {
	HALVES,
	FLOATS,
	ZEROS,
	ONES
} Fill;

/* The sizes that are 0 are no dimensions. */
static void tensor(ModelFile *m, const char *prefix, const char *name, Fill fill, uint64_t a,
		   uint64_t b, uint64_t c)
{
	char full[96];
	int len = snprintf(full, sizeof(full), "%s%s", prefix, name);
	uint64_t n = a * (b ? b : 1) * (c ? c : 1);
	put_u32(m, c ? 3 : b ? 2 : 1);
	put_u32(m, (uint32_t)len);
	put_u32(m, fill == HALVES);
	put_u32(m, (uint32_t)a);
	if (b)
		put_u32(m, (uint32_t)b);
	if (c)
		put_u32(m, (uint32_t)c);
	put_bytes(m, full, (size_t)len);
	if (fill == HALVES || fill == FLOATS)
		put_weights(m, n, fill == HALVES);
	else
		put_constants(m, n, fill == ONES ? 1 : 0);
}

static void matrix(ModelFile *m, const char *prefix, const char *name, uint64_t in, uint64_t out)
{
	char full[64];
	snprintf(full, sizeof(full), "%s%s", prefix, name);
	tensor(m, full, ".weight", HALVES, in, out, 0);
	tensor(m, full, ".bias", ZEROS, out, 0, 0);
}

static void norm(ModelFile *m, const Shape *s, const char *prefix, const char *name)
{
	char full[64];
	snprintf(full, sizeof(full), "%s%s", prefix, name);
	tensor(m, full, ".weight", ONES, s->state, 0, 0);
	tensor(m, full, ".bias", ZEROS, s->state, 0, 0);
}

static void attention(ModelFile *m, const Shape *s, const char *prefix, const char *name)
{
	char full[64], lead[64];
	snprintf(lead, sizeof(lead), "%s_ln", name);
	norm(m, s, prefix, lead);
	snprintf(full, sizeof(full), "%s%s", prefix, name);
	matrix(m, full, ".query", s->state, s->state);
	tensor(m, full, ".key.weight", HALVES, s->state, s->state, 0); /* keys have no bias */
	matrix(m, full, ".value", s->state, s->state);
	matrix(m, full, ".out", s->state, s->state);
}

static void block(ModelFile *m, const Shape *s, const char *side, uint64_t i, bool cross)
{
	char prefix[40];
	snprintf(prefix, sizeof(prefix), "%s.blocks.%" PRIu64 ".", side, i);
	norm(m, s, prefix, "mlp_ln");
	matrix(m, prefix, "mlp.0", s->state, 4 * s->state);
	matrix(m, prefix, "mlp.2", 4 * s->state, s->state);
	attention(m, s, prefix, "attn");
	if (cross)
		attention(m, s, prefix, "cross_attn");
}

static void put_encoder(ModelFile *m, const Shape *s)
{
	tensor(m, "encoder.", "positional_embedding", FLOATS, s->state, AUDIO_CONTEXT, 0);
	tensor(m, "encoder.", "conv1.weight", HALVES, 3, MELS, s->state);
	tensor(m, "encoder.", "conv1.bias", ZEROS, 1, s->state, 0);
	tensor(m, "encoder.", "conv2.weight", HALVES, 3, s->state, s->state);
	tensor(m, "encoder.", "conv2.bias", ZEROS, 1, s->state, 0);
	norm(m, s, "encoder.", "ln_post");
	for (uint64_t i = 0; i < s->layers; i++)
		block(m, s, "encoder", i, false);
}

static void put_decoder(ModelFile *m, const Shape *s)
{
	tensor(m, "decoder.", "positional_embedding", FLOATS, s->state, s->text_context, 0);
	tensor(m, "decoder.", "token_embedding.weight", HALVES, s->state, VOCABULARY, 0);
	norm(m, s, "decoder.", "ln");
	for (uint64_t i = 0; i < s->layers; i++)
		block(m, s, "decoder", i, true);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"state", 1, NULL, 's'},	    {"heads", 1, NULL, 'h'}, {"layers", 1, NULL, 'l'},
	    {"text-context", 1, NULL, 'c'}, {"seed", 1, NULL, 'r'},  {0}};
	Shape s = {.state = 64, .heads = 1, .layers = 1, .text_context = 24};
	uint64_t seed = 1, *const into[] = {&s.state, &s.heads, &s.layers, &s.text_context, &seed};
	int which, got;
	while ((got = getopt_long(argc, argv, "", options, &which)) != -1) {
		if (got == '?')
			return 2;
		*into[which] = number_option(options[which].name, optarg, 1, 1 << 16);
	}
	if (optind != argc - 1 || s.state % s.heads != 0 || s.text_context < 16) {
		fprintf(stderr,
			"usage: mkwhisper [--state N] [--heads N] [--layers N] [--text-context N] "
			"[--seed N] FILE; state is a multiple of heads\n");
		return 2;
	}
	ModelFile m;
	if (modelfile_open(&m, argv[optind], seed) != 0)
		return 1;
	put_shape(&m, &s);
	put_filters(&m);
	put_words(&m);
	put_encoder(&m, &s);
	put_decoder(&m, &s);
	return modelfile_close(&m);
}

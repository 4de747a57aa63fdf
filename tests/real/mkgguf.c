/* Writes a language model with random weights that llama-server loads:
 *
 *	mkgguf [--embd N] [--layers N] [--heads N] [--ff N] [--context N] [--seed N] FILE
 *
 * A GGUF file, version 3, of the llama architecture with a small SentencePiece-like vocabulary.
 * Memory and speed are those of the shape; what it says is noise. By default 3 MB. */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "modelfile.h"

enum {
	VOCABULARY = 4096,
	BYTE_TOKENS = 256,
	FIRST_WORD = 3 + BYTE_TOKENS, /* after <unk>, <s>, </s> and the bytes */
	ALIGNMENT = 32,		      /* the format's default */
};

/* The format's numbers of the types of values, and of tensors. */
enum {
	TYPE_U32 = 4,
	TYPE_I32 = 5,
	TYPE_F32 = 6,
	TYPE_STRING = 8,
	TYPE_ARRAY = 9
};
enum {
	TENSOR_F32 = 0,
	TENSOR_F16 = 1
};
/* And of tokens. */
enum {
	TOKEN_NORMAL = 1,
	TOKEN_UNKNOWN = 2,
	TOKEN_CONTROL = 3,
	TOKEN_BYTE = 6
};

typedef struct Shape {
	uint64_t embd, layers, heads, ff, context;
} Shape;

/* --- Metadata -------------------------------------------------------------------------------- */

static void put_string(ModelFile *m, const char *s)
{
	put_u64(m, strlen(s));
	put_bytes(m, s, strlen(s));
}

static void meta_u32(ModelFile *m, const char *key, uint64_t v)
{
	put_string(m, key);
	put_u32(m, TYPE_U32);
	put_u32(m, (uint32_t)v);
}

static void meta_string(ModelFile *m, const char *key, const char *v)
{
	put_string(m, key);
	put_u32(m, TYPE_STRING);
	put_string(m, v);
}

static void meta_array(ModelFile *m, const char *key, uint32_t type, uint64_t n)
{
	put_string(m, key);
	put_u32(m, TYPE_ARRAY);
	put_u32(m, type);
	put_u64(m, n);
}

static void put_token(ModelFile *m, unsigned id)
{
	static const char *const first[] = {"<unk>", "<s>", "</s>"};
	char text[32];
	if (id < 3)
		snprintf(text, sizeof(text), "%s", first[id]);
	else if (id < FIRST_WORD)
		snprintf(text, sizeof(text), "<0x%02X>", id - 3);
	else /* U+2581 stands for the space before a word */
		snprintf(text, sizeof(text), "\xe2\x96\x81w%u", id - FIRST_WORD);
	put_string(m, text);
}

static uint32_t token_type(unsigned id)
{
	return id == 0		 ? TOKEN_UNKNOWN
	       : id < 3		 ? TOKEN_CONTROL
	       : id < FIRST_WORD ? TOKEN_BYTE
				 : TOKEN_NORMAL;
}

static void put_vocabulary(ModelFile *m)
{
	meta_array(m, "tokenizer.ggml.tokens", TYPE_STRING, VOCABULARY);
	for (unsigned id = 0; id < VOCABULARY; id++)
		put_token(m, id);
	meta_array(m, "tokenizer.ggml.scores", TYPE_F32, VOCABULARY);
	put_constants(m, VOCABULARY, 0);
	meta_array(m, "tokenizer.ggml.token_type", TYPE_I32, VOCABULARY);
	for (unsigned id = 0; id < VOCABULARY; id++)
		put_u32(m, token_type(id));
}

static const uint64_t n_meta = 18;

static void put_metadata(ModelFile *m, const Shape *s)
{
	meta_string(m, "general.architecture", "llama");
	meta_string(m, "general.name", "random weights");
	meta_u32(m, "general.file_type", 1); /* mostly halves */
	meta_u32(m, "llama.context_length", s->context);
	meta_u32(m, "llama.embedding_length", s->embd);
	meta_u32(m, "llama.block_count", s->layers);
	meta_u32(m, "llama.feed_forward_length", s->ff);
	meta_u32(m, "llama.attention.head_count", s->heads);
	meta_u32(m, "llama.attention.head_count_kv", s->heads);
	put_string(m, "llama.attention.layer_norm_rms_epsilon");
	put_u32(m, TYPE_F32);
	put_f32(m, 1e-5F);
	meta_u32(m, "llama.rope.dimension_count", s->embd / s->heads);
	meta_u32(m, "llama.vocab_size", VOCABULARY);
	meta_string(m, "tokenizer.ggml.model", "llama");
	put_vocabulary(m); /* three entries */
	meta_u32(m, "tokenizer.ggml.bos_token_id", 1);
	meta_u32(m, "tokenizer.ggml.eos_token_id", 2);
}

/* --- Tensors --------------------------------------------------------------------------------- */

/* The same list is walked twice: first the table of tensors, then their data. */
typedef struct Tensors {
	ModelFile *m;
	bool data;
	uint64_t n, offset; /* of the next one in the data */
} Tensors;

static void pad(ModelFile *m)
{
	put_zeros(m, (size_t)(-m->at % ALIGNMENT));
}

/* A matrix of random halves, or with rows 0 a vector of ones: a norm that changes nothing. */
static void tensor(Tensors *t, const char *name, uint64_t columns, uint64_t rows)
{
	uint64_t n = columns * (rows ? rows : 1);
	t->n++;
	if (t->data && rows) {
		put_weights(t->m, n, true);
	} else if (t->data) {
		put_constants(t->m, n, 1);
	} else {
		put_string(t->m, name);
		put_u32(t->m, rows ? 2 : 1);
		put_u64(t->m, columns);
		if (rows)
			put_u64(t->m, rows);
		put_u32(t->m, rows ? TENSOR_F16 : TENSOR_F32);
		put_u64(t->m, t->offset);
	}
	if (t->data)
		pad(t->m);
	uint64_t size = n * (rows ? 2 : 4);
	t->offset += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void block(Tensors *t, const Shape *s, uint64_t i)
{
	const struct {
		const char *name;
		uint64_t columns, rows;
	} parts[] = {
	    {"attn_norm", s->embd, 0},	       {"attn_q", s->embd, s->embd},
	    {"attn_k", s->embd, s->embd},      {"attn_v", s->embd, s->embd},
	    {"attn_output", s->embd, s->embd}, {"ffn_norm", s->embd, 0},
	    {"ffn_gate", s->embd, s->ff},      {"ffn_up", s->embd, s->ff},
	    {"ffn_down", s->ff, s->embd},
	};
	for (size_t k = 0; k < sizeof(parts) / sizeof(*parts); k++) {
		char name[64];
		snprintf(name, sizeof(name), "blk.%" PRIu64 ".%s.weight", i, parts[k].name);
		tensor(t, name, parts[k].columns, parts[k].rows);
	}
}

static void tensors(Tensors *t, const Shape *s)
{
	tensor(t, "token_embd.weight", s->embd, VOCABULARY);
	for (uint64_t i = 0; i < s->layers; i++)
		block(t, s, i);
	tensor(t, "output_norm.weight", s->embd, 0);
	tensor(t, "output.weight", s->embd, VOCABULARY);
}

static void write_model(ModelFile *m, const Shape *s)
{
	put_bytes(m, "GGUF", 4);
	put_u32(m, 3);
	put_u64(m, 3 + 9 * s->layers); /* tensors: three, and nine a block */
	put_u64(m, n_meta);
	put_metadata(m, s);
	tensors(&(Tensors){.m = m}, s);
	pad(m);
	tensors(&(Tensors){.m = m, .data = true}, s);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"embd", 1, NULL, 'e'},
						{"layers", 1, NULL, 'l'},
						{"heads", 1, NULL, 'h'},
						{"ff", 1, NULL, 'f'},
						{"context", 1, NULL, 'c'},
						{"seed", 1, NULL, 's'},
						{0}};
	Shape s = {.embd = 128, .layers = 2, .heads = 4, .ff = 352, .context = 4096};
	uint64_t seed = 1, *const into[] = {&s.embd, &s.layers, &s.heads, &s.ff, &s.context, &seed};
	int which, got;
	while ((got = getopt_long(argc, argv, "", options, &which)) != -1) {
		if (got == '?')
			return 2;
		*into[which] = number_option(options[which].name, optarg, 1, 1 << 20);
	}
	if (optind != argc - 1 || s.embd % (2 * s.heads) != 0) {
		fprintf(stderr,
			"usage: mkgguf [--embd N] [--layers N] [--heads N] [--ff N] [--context N] "
			"[--seed N] FILE; embd is a multiple of twice the heads\n");
		return 2;
	}
	ModelFile m;
	if (modelfile_open(&m, argv[optind], seed) != 0)
		return 1;
	write_model(&m, &s);
	return modelfile_close(&m);
}

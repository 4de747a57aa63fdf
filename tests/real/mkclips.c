/* Writes clips for speech recognisers, each with the words that are supposed to be in it:
 *
 *	mkclips [--clips N] [--shortest MS] [--longest MS] [--seed N] FOLDER
 *
 * N files clip-01.wav ... of 16 kHz mono PCM in an existing folder, their lengths evenly from the
 * shortest to the longest, and clip-01.txt ... beside them. No speech: a tone that wanders, with
 * pauses, and noise, so that no two are alike and none is silent. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "modelfile.h"

enum {
	RATE = 16000
};

static void put_u16(ModelFile *m, uint16_t v)
{
	put_bytes(m, &v, sizeof(v));
}

static void put_head(ModelFile *m, uint32_t samples)
{
	put_bytes(m, "RIFF", 4);
	put_u32(m, 36 + 2 * samples);
	put_bytes(m, "WAVEfmt ", 8);
	put_u32(m, 16);
	put_u16(m, 1); /* PCM */
	put_u16(m, 1); /* channel */
	put_u32(m, RATE);
	put_u32(m, 2 * RATE); /* bytes a second */
	put_u16(m, 2);	      /* bytes a sample of all channels */
	put_u16(m, 16);	      /* bits */
	put_bytes(m, "data", 4);
	put_u32(m, 2 * samples);
}

/* A syllable of a fifth of a second has its own pitch, and every fifth is a pause. */
static void put_sound(ModelFile *m, uint32_t samples)
{
	double pitch = 0, phase = 0;
	for (uint32_t i = 0; i < samples; i++) {
		uint32_t syllable = i / (RATE / 5);
		if (i % (RATE / 5) == 0)
			pitch = 110 + 220 * rng_unit(&m->rng);
		phase += 2 * 3.14159265358979 * pitch / RATE;
		double tone = syllable % 5 == 4 ? 0 : 0.3 * sin(phase) + 0.1 * sin(3 * phase);
		double noise = 0.02 * (rng_unit(&m->rng) - 0.5);
		put_u16(m, (uint16_t)(int16_t)lrint(32767 * (tone + noise)));
	}
}

static void put_words(ModelFile *m, uint64_t ms)
{
	static const char *const words[] = {"the",  "light", "in",    "room",  "is",	"on",
					    "open", "door",  "seven", "today", "music", "stop"};
	for (uint64_t n = 1 + ms / 400; n > 0; n--) {
		const char *w = words[rng_below(&m->rng, sizeof(words) / sizeof(*words))];
		put_bytes(m, w, strlen(w));
		put_bytes(m, n > 1 ? " " : "\n", 1);
	}
}

static int write_clip(const char *folder, unsigned number, uint64_t ms, uint64_t seed)
{
	char path[4096];
	ModelFile m;
	snprintf(path, sizeof(path), "%s/clip-%02u.wav", folder, number);
	if (modelfile_open(&m, path, seed + number) != 0)
		return 1;
	put_head(&m, (uint32_t)(ms * RATE / 1000));
	put_sound(&m, (uint32_t)(ms * RATE / 1000));
	if (modelfile_close(&m) != 0)
		return 1;
	snprintf(path, sizeof(path), "%s/clip-%02u.txt", folder, number);
	if (modelfile_open(&m, path, seed + number) != 0)
		return 1;
	put_words(&m, ms);
	return modelfile_close(&m);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"clips", 1, NULL, 'n'},
						{"shortest", 1, NULL, 's'},
						{"longest", 1, NULL, 'l'},
						{"seed", 1, NULL, 'r'},
						{0}};
	uint64_t clips = 4, shortest = 1000, longest = 4000, seed = 1;
	uint64_t *const into[] = {&clips, &shortest, &longest, &seed};
	int which, got;
	while ((got = getopt_long(argc, argv, "", options, &which)) != -1) {
		if (got == '?')
			return 2;
		*into[which] = number_option(options[which].name, optarg, 1, which ? 600000 : 99);
	}
	if (optind != argc - 1 || longest < shortest) {
		fprintf(stderr,
			"usage: mkclips [--clips N] [--shortest MS] [--longest MS] [--seed N] "
			"FOLDER\n");
		return 2;
	}
	for (uint64_t i = 0; i < clips; i++) {
		uint64_t ms =
		    clips > 1 ? shortest + i * (longest - shortest) / (clips - 1) : shortest;
		if (write_clip(argv[optind], (unsigned)i + 1, ms, seed) != 0)
			return 1;
	}
	return 0;
}

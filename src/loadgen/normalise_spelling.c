/* British to American spelling: a few rules with their exceptions, and a list of single words. Both
 * sides of a comparison go through it, so a rule that reaches a little too far does no harm. */
#include <stdio.h>
#include <string.h>

#include "loadgen/normalise.h"

enum {
	WORD_MAX = 64,
};

/* Whole words, also with an s or 's' of the plural behind. */
static const char *const words[][2] = {
    {"acknowledgement", "acknowledgment"},
    {"aeroplane", "airplane"},
    {"aesthetic", "esthetic"},
    {"ageing", "aging"},
    {"aluminium", "aluminum"},
    {"amoeba", "ameba"},
    {"artefact", "artifact"},
    {"axe", "ax"},
    {"cancelation", "cancellation"},
    {"cheque", "check"},
    {"chequer", "checker"},
    {"chilli", "chili"},
    {"cosy", "cozy"},
    {"defence", "defense"},
    {"defenceless", "defenseless"},
    {"draught", "draft"},
    {"draughty", "drafty"},
    {"enrol", "enroll"},
    {"enrolment", "enrollment"},
    {"fulfil", "fulfill"},
    {"fulfilment", "fulfillment"},
    {"gaol", "jail"},
    {"grey", "gray"},
    {"greyer", "grayer"},
    {"greyish", "grayish"},
    {"instalment", "installment"},
    {"instil", "instill"},
    {"jeweller", "jeweler"},
    {"jewellery", "jewelry"},
    {"judgement", "judgment"},
    {"kerb", "curb"},
    {"licence", "license"},
    {"manoeuvre", "maneuver"},
    {"manoeuvred", "maneuvered"},
    {"manoeuvring", "maneuvering"},
    {"marvellous", "marvelous"},
    {"mediaeval", "medieval"},
    {"mould", "mold"},
    {"mouldy", "moldy"},
    {"moult", "molt"},
    {"moustache", "mustache"},
    {"mum", "mom"},
    {"mummy", "mommy"},
    {"offence", "offense"},
    {"omelette", "omelet"},
    {"plough", "plow"},
    {"ploughed", "plowed"},
    {"ploughing", "plowing"},
    {"practise", "practice"},
    {"practised", "practiced"},
    {"practising", "practicing"},
    {"pretence", "pretense"},
    {"programme", "program"},
    {"pyjama", "pajama"},
    {"sceptic", "skeptic"},
    {"sceptical", "skeptical"},
    {"scepticism", "skepticism"},
    {"skilful", "skillful"},
    {"skilfully", "skillfully"},
    {"smoulder", "smolder"},
    {"smouldering", "smoldering"},
    {"storey", "story"},
    {"sulphur", "sulfur"},
    {"tyre", "tire"},
    {"wilful", "willful"},
    {"woollen", "woolen"},
    {"yoghurt", "yogurt"},
};

/* Beginnings of words: the rest stays. */
static const char *const beginnings[][2] = {
    {"anaem", "anem"},	       {"anaesth", "anesth"},	      {"caesarean", "cesarean"},
    {"diarrhoea", "diarrhea"}, {"encyclopaed", "encycloped"}, {"faec", "fec"},
    {"foet", "fet"},	       {"gynaec", "gynec"},	      {"haem", "hem"},
    {"leukaem", "leukem"},     {"oesophag", "esophag"},	      {"oestro", "estro"},
    {"orthopaed", "orthoped"}, {"paediatr", "pediatr"},	      {"palaeo", "paleo"},
};

/* ... of words in -our, whatever follows: "favourite", "neighbourhood". */
static const char *const ours[] = {
    "arb",  "ard",	 "arm",	   "behavi", "cand", "clam", "col", "demean",
    "enam", "endeav",	 "fav",	   "ferv",   "flav", "harb", "hon", "hum",
    "lab",  "misdemean", "neighb", "od",     "parl", "ranc", "rig", "rum",
    "savi", "sav",	 "splend", "succ",   "tum",  "val",  "vap", "vig",
};

/* ... of words in -re, alone and in -red, -ring and with an s. */
static const char *const res[] = {
    "calib",   "cent",	   "fib",      "lit",	   "lust",     "meag",	"met",
    "och",     "sab",	   "sepulch",  "somb",	   "spect",    "theat", "epicent",
    "kilomet", "centimet", "millimet", "millilit", "micromet",
};

/* ... that double their l before -ed, -ing and -er only in British spelling. */
static const char *const doubles[] = {
    "cance", "channe", "chise", "counse", "dia",  "dishevel", "due",	"equa",
    "fue",   "grove",  "jewe",	"labe",	  "leve", "libe",     "marve",	"mode",
    "pane",  "peda",   "pence", "quarre", "riva", "shove",    "shrive", "signa",
    "snive", "spira",  "swive", "tota",	  "towe", "trave",    "tunne",	"unrave",
};

/* Words in -ise that are so in both; those in -aise, -oise, -uise and -wise are too. */
static const char *const ises[] = {
    "adverti", "advi",	    "anise",   "apprise", "ari",       "chasti",       "circumci",
    "compri",  "compromi",  "conci",   "demi",	  "despi",     "devi",	       "enterpri",
    "exci",    "exerci",    "experti", "franchi", "enfranchi", "disenfranchi", "improvi",
    "inci",    "merchandi", "paradi",  "preci",	  "premi",     "pri",	       "promi",
    "repri",   "revi",	    "ri",      "supervi", "surmi",     "surpri",       "televi",
    "treati",  "vi",	    "chemi",   "hi",	  "bi",	       "mi",	       "anti",
    "appri",   "ani",	    "sunri",   "upri",	  "uprai",     "commi",
};

static const char *const yses[] = {
    "analy", "paraly", "cataly", "dialy", "hydroly", "electroly", "breathaly", "psychoanaly",
};

static const char *const ogues[] = {"catal", "anal", "dial"};

/* --- Rules ----------------------------------------------------------------------------------- */

static bool among(const char *const *list, size_t n, const char *s, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == len && memcmp(list[i], s, len) == 0)
			return true;
	return false;
}

#define AMONG(list, s, len) among(list, sizeof(list) / sizeof(*(list)), s, len)

typedef struct Room {
	char *s;
	size_t size;
} Room;

/* The first `len` characters, then `to`, then what follows. */
static const char *build(const Room *room, const char *word, size_t len, const char *to,
			 const char *rest)
{
	snprintf(room->s, room->size, "%.*s%s%s", (int)len, word, to, rest);
	return room->s;
}

/* "ed" of "ised" when the word ends in `stem` and one of the endings; *ret_at is where the stem
 * begins. NULL: it does not. */
static const char *ending(const char *word, const char *stem, const char *const *ends, size_t n,
			  size_t *ret_at)
{
	size_t len = strlen(word);
	for (size_t i = 0; i < n; i++) {
		size_t tail = strlen(stem) + strlen(ends[i]);
		if (len <= tail)
			continue;
		const char *at = word + len - tail;
		if (strncmp(at, stem, strlen(stem)) == 0 &&
		    strcmp(at + strlen(stem), ends[i]) == 0) {
			*ret_at = len - tail;
			return ends[i];
		}
	}
	return NULL;
}

#define ENDING(word, stem, ends, ret_at) \
	ending(word, stem, ends, sizeof(ends) / sizeof(*(ends)), ret_at)

static const char *const verb_ends[] = {"e", "ed", "es", "er", "ers", "ing", "able"};

static const char *in_ise(const char *word, const Room *room)
{
	static const char *const noun_ends[] = {"ation", "ations", "ational"};
	size_t at;
	const char *end = ENDING(word, "is", noun_ends, &at);
	if (end && at >= 3)
		return build(room, word, at, "iz", end);
	end = ENDING(word, "is", verb_ends, &at);
	if (!end || at < 3 || strchr("aouw", word[at - 1]) || AMONG(ises, word, at + 1) ||
	    (word[at - 1] == 'e' && word[at] == 'i'))
		return NULL;
	return build(room, word, at, "iz", end);
}

static const char *in_yse(const char *word, const Room *room)
{
	size_t at;
	const char *end = ENDING(word, "s", verb_ends, &at);
	return end && AMONG(yses, word, at) ? build(room, word, at, "z", end) : NULL;
}

/* "colour", "discolour", "honourable". */
static const char *in_our(const char *word, const Room *room)
{
	static const char *const prefixes[] = {"", "dis", "un", "multi", "re", "mis"};
	const char *our = strstr(word, "our");
	for (size_t i = 0; our && i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		size_t skip = strlen(prefixes[i]);
		if (strncmp(word, prefixes[i], skip) == 0 && our >= word + skip &&
		    AMONG(ours, word + skip, (size_t)(our - word) - skip))
			return build(room, word, (size_t)(our - word), "or", our + 3);
	}
	return NULL;
}

static const char *in_re(const char *word, const Room *room)
{
	static const struct {
		const char *end, *instead;
	} rules[] = {{"re", "er"}, {"res", "ers"}, {"red", "ered"}, {"ring", "ering"}};
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		size_t at;
		if (ending(word, "", &rules[i].end, 1, &at) && AMONG(res, word, at))
			return build(room, word, at, rules[i].instead, "");
	}
	return NULL;
}

static const char *with_double_l(const char *word, const Room *room)
{
	static const char *const ends[] = {"ed", "ing", "ings", "er", "ers", "or", "ors"};
	size_t at;
	const char *end = ENDING(word, "ll", ends, &at);
	return end && AMONG(doubles, word, at) ? build(room, word, at, "l", end) : NULL;
}

static const char *in_ogue(const char *word, const Room *room)
{
	static const char *const ends[] = {"ue", "ues", "ued", "uing"};
	static const char *const instead[] = {"", "s", "ed", "ing"};
	for (size_t i = 0; i < 4; i++) {
		size_t at;
		if (ending(word, "og", &ends[i], 1, &at) && AMONG(ogues, word, at))
			return build(room, word, at + 2, instead[i], "");
	}
	return NULL;
}

static const char *listed(const char *word, const Room *room)
{
	size_t len = strlen(word);
	bool plural = len > 1 && word[len - 1] == 's';
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		const char *from = words[i][0];
		if (strcmp(from, word) == 0)
			return words[i][1];
		if (plural && strlen(from) == len - 1 && memcmp(from, word, len - 1) == 0)
			return build(room, words[i][1], strlen(words[i][1]),
				     strcmp(from, "storey") == 0 ? "" : "s", "");
	}
	for (size_t i = 0; i < sizeof(beginnings) / sizeof(*beginnings); i++)
		if (strncmp(word, beginnings[i][0], strlen(beginnings[i][0])) == 0)
			return build(room, beginnings[i][1], strlen(beginnings[i][1]),
				     word + strlen(beginnings[i][0]), "");
	return NULL;
}

const char *american_word(const char *word, char *room_text, size_t size)
{
	typedef const char *Rule(const char *word, const Room *room);
	static Rule *const rules[] = {listed, in_our,  in_ise,	     in_yse,
				      in_re,  in_ogue, with_double_l};
	Room room = {room_text, size};
	if (strlen(word) < 3 || strlen(word) + 8 > size)
		return word;
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const char *found = rules[i](word, &room);
		if (found)
			return found;
	}
	return word;
}

void normalise_spelling(const char *text, Str *out)
{
	char word[WORD_MAX], room[WORD_MAX + 8];
	while (*text) {
		size_t len = strcspn(text, " ");
		if (len < sizeof(word)) {
			memcpy(word, text, len);
			word[len] = '\0';
			str_add(out, american_word(word, room, sizeof(room)));
		} else {
			str_addn(out, text, len);
		}
		text += len;
		if (*text == ' ')
			str_addc(out, *text++);
	}
	str_add(out, "");
}

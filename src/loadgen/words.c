#include "loadgen/words.h"

#include "base/rng.h"

static const char *const words[WORDS] = {
    "able",    "about",	 "above",  "across", "act",	 "add",	   "after",  "again",	"age",
    "air",     "all",	 "allow",  "alone",  "along",	 "also",   "always", "among",	"anchor",
    "angle",   "animal", "apple",  "arm",    "army",	 "around", "arrive", "art",	"ask",
    "away",    "baby",	 "back",   "bag",    "ball",	 "bank",   "base",   "basket",	"beach",
    "bear",    "beat",	 "bed",	   "begin",  "bell",	 "below",  "bend",   "best",	"big",
    "bird",    "black",	 "block",  "blood",  "blow",	 "blue",   "board",  "boat",	"body",
    "bone",    "book",	 "born",   "both",   "bottle",	 "bottom", "bowl",   "box",	"boy",
    "brain",   "branch", "bread",  "break",  "bridge",	 "bright", "bring",  "brother", "brown",
    "brush",   "build",	 "burn",   "bus",    "busy",	 "butter", "button", "buy",	"cake",
    "call",    "calm",	 "camera", "camp",   "candle",	 "cap",	   "car",    "card",	"care",
    "carry",   "cart",	 "castle", "cat",    "catch",	 "chain",  "chair",  "chalk",	"change",
    "cheap",   "cheese", "child",  "choose", "church",	 "circle", "city",   "clean",	"clear",
    "climb",   "clock",	 "close",  "cloth",  "cloud",	 "coast",  "coat",   "coffee",	"coin",
    "cold",    "color",	 "comb",   "come",   "cook",	 "cool",   "copper", "corn",	"cotton",
    "count",   "cover",	 "cow",	   "crack",  "cream",	 "cross",  "crowd",  "cry",	"cup",
    "curtain", "cut",	 "dance",  "dark",   "daughter", "day",	   "deal",   "deep",	"deer",
    "desk",    "dish",	 "dog",	   "door",   "doubt",	 "down",   "draw",   "dream",	"dress",
    "drink",   "drive",	 "drop",   "dry",    "duck",	 "dust",   "early",  "earn",	"earth",
    "east",    "easy",	 "eat",	   "edge",   "egg",	 "eight",  "empty",  "end",	"enough",
    "evening", "event",	 "ever",   "every",  "eye",	 "face",   "fact",   "fall",	"family",
    "far",     "farm",	 "fast",   "father", "feel",	 "fence",  "few",    "field",	"fight",
    "find",    "fine",	 "finger", "fire",   "fish",	 "five",   "flag",   "flame",	"flat",
    "floor",   "flour",	 "flower", "fly",    "fold",	 "follow", "food",   "foot",	"forest",
    "fork",    "form",	 "four",   "fox",    "free",	 "fresh",  "friend", "frog",	"front",
    "fruit",   "full",	 "game",   "garden", "gate",	 "gift",   "girl",   "give",	"glad",
    "glass",   "glove",	 "goat",   "gold",   "good",	 "grain",  "grass",  "gray",	"great",
    "green",   "ground", "group",  "grow",   "guess",	 "hair",   "half",   "hall",	"hammer",
    "hand",    "happy",	 "harbor", "hard",   "hat",	 "head",   "hear",   "heart",	"heavy",
    "hen",     "hill",	 "hold",   "hole",
};

int64_t words_of_tokens(int64_t tokens)
{
	return tokens > 0 ? tokens : 1;
}

void words_add(Str *out, uint64_t seed, uint64_t number, int64_t count)
{
	enum {
		NAMING = 8 /* bytes of the number that names the text, one a word */
	};
	/* An odd factor keeps the low bytes of neighbouring numbers apart; the sum with what the
	 * seed gives keeps families apart. */
	Rng family = rng_derive(seed, "prompt family", 0);
	uint64_t name = number * UINT64_C(0x9e3779b97f4a7c15) + rng_u64(&family);
	Rng rng = rng_derive(seed, "prompt words", number);
	uint64_t drawn = 0;
	for (int64_t i = 0; i < count; i++) {
		if (i >= NAMING && (i - NAMING) % 8 == 0)
			drawn = rng_u64(&rng); /* eight words at a time */
		uint64_t bits = i < NAMING ? name : drawn;
		if (i > 0)
			str_addc(out, ' ');
		str_add(out, words[bits >> 8 * (i % 8) & 0xff]);
	}
}

/* What people see of promotions and versions: as much as fits, and what became of each. */
#include "fixture.h"
#include "rollout/views.h"

enum {
	MANY = 40,
	ROOM = 30 << 10, /* for some of them */
};

static void propose(Box *b, const char *id)
{
	json_auto_t *body = promotion_body(), *promotion = NULL;
	json_object_set_new(body, "id", json_string(id));
	CHECK_OK(promotion_sign(body, b->key, &promotion, NULL));
	CHECK_INT(promotion_store(b->store, promotion, NULL), 1);
}

static ViewSource source(const Box *b, size_t most_bytes)
{
	return (ViewSource){.store = b->store,
			    .pinned_key_hex = b->public,
			    .now_us = b->now_us,
			    .most_bytes = most_bytes};
}

static const char *id_at(const json_t *list, size_t i)
{
	return js_str(json_array_get(list, i), "id", "");
}

static size_t bytes(const json_t *v)
{
	return json_dumpb(v, NULL, 0, JSON_COMPACT);
}

TEST(of_a_list_that_is_too_long_the_newest_are_shown_oldest_first)
{
	Box box;
	char id[32];
	box_new(&box);
	for (int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "promotion-spica-%02d", i);
		propose(&box, id);
	}
	const ViewSource all = source(&box, 0), some = source(&box, ROOM);
	json_auto_t *whole = NULL, *cut = NULL;
	CHECK_OK(promotions_view(&all, NULL, &whole, NULL));
	CHECK_OK(promotions_view(&some, NULL, &cut, NULL));
	const json_t *list = json_object_get(whole, "promotions");
	CHECK_INT(json_array_size(list), MANY);
	CHECK_STR(id_at(list, 0), "promotion-spica-00");
	CHECK(!json_object_get(whole, "older_left_out"));
	CHECK(bytes(whole) > ROOM && bytes(cut) <= ROOM);
	list = json_object_get(cut, "promotions");
	size_t n = json_array_size(list);
	CHECK(n > 1 && n < MANY && js_bool(cut, "older_left_out", false));
	CHECK_STR(id_at(list, n - 1), "promotion-spica-39");
	snprintf(id, sizeof(id), "promotion-spica-%02zu", MANY - n);
	CHECK_STR(id_at(list, 0), id);
	CHECK_INT(json_object_size(json_object_get(cut, "states")), n);
	box_done(&box);
}

TEST(only_those_of_an_experiment_are_shown)
{
	Box box;
	box_new(&box);
	propose(&box, "promotion-spica-1");
	const ViewSource s = source(&box, 0);
	json_auto_t *its = NULL, *others = NULL;
	CHECK_OK(promotions_view(&s, "spica_gpu_allocation", &its, NULL));
	CHECK_OK(promotions_view(&s, "another", &others, NULL));
	CHECK_INT(json_array_size(json_object_get(its, "promotions")), 1);
	CHECK_INT(js_int(json_object_get(its, "recorded_at_us"), "promotion-spica-1", 0), NOW_US);
	CHECK_INT(json_array_size(json_object_get(others, "promotions")), 0);
	box_done(&box);
}

static void add_version(Box *b)
{
	_cleanup_(baseline_done) Baseline v = {.generation = "0123456789abcdef",
					       .why = "accepted",
					       .by = "anna",
					       .values = values_text("0.50", "small")};
	CHECK_OK(baseline_append(b->store, b->key, &v, NULL));
}

TEST(of_too_many_versions_the_newest_are_shown)
{
	Box box;
	box_new(&box);
	for (int i = 0; i < MANY; i++)
		add_version(&box);
	const ViewSource all = source(&box, 0), some = source(&box, 8 << 10);
	json_auto_t *whole = NULL, *cut = NULL;
	CHECK_OK(baseline_log_view(&all, &whole, NULL));
	CHECK_OK(baseline_log_view(&some, &cut, NULL));
	CHECK_INT(json_array_size(json_object_get(whole, "versions")), MANY);
	CHECK(bytes(whole) > 8 << 10 && bytes(cut) <= 8 << 10);
	const json_t *list = json_object_get(cut, "versions");
	size_t n = json_array_size(list);
	CHECK(n > 1 && n < MANY && js_bool(cut, "older_left_out", false));
	CHECK_INT(js_int(json_array_get(list, n - 1), "version", 0), MANY);
	CHECK_INT(js_int(json_array_get(list, 0), "version", 0), MANY - (int)n + 1);
	box_done(&box);
}

TEST(what_was_committed_says_as_which_version)
{
	Box box;
	box_new(&box);
	first_baseline(&box);
	propose(&box, "promotion-spica-1");
	json_auto_t *promotion = NULL, *before = NULL, *after = NULL;
	CHECK_OK(promotion_find(box.store, "promotion-spica-1", &promotion, NULL));
	const ViewSource s = source(&box, 0);
	const char *keys[] = {box.public, NULL};
	const ValidateInput in = {.promotion = promotion,
				  .keys = keys,
				  .store = box.store,
				  .others_bytes = -1,
				  .now_us = box.now_us,
				  .max_age_us = DAY_US};
	CHECK_OK(promotion_view(&s, &in, box.public, "", &before, NULL));
	CHECK(json_is_null(json_object_get(before, "committed_version")));
	CHECK_STR(js_str(json_object_get(before, "fate"), "state", ""), "proposed");
	_cleanup_(baseline_done) Baseline next = {.generation = "fedcba9876543210",
						  .why = "rollout",
						  .by = "anna",
						  .promotion = "promotion-spica-1",
						  .values = values_text("0.55", "base")};
	json_auto_t *step =
	    parse("{\"schema\": \"dream.rollout/v1\", \"rollout\": \"rollout-1\", \"promotion\": "
		  "\"promotion-spica-1\", \"event\": \"ok\", \"result\": \"committed\"}");
	CHECK_OK(baseline_append(box.store, box.key, &next, NULL));
	CHECK_OK(store_add(box.store, "rollout", ROLLOUT_SCHEMA, step, NULL, NULL));
	CHECK_OK(promotion_view(&s, &in, box.public, "", &after, NULL));
	CHECK_STR(js_str(json_object_get(after, "fate"), "state", ""), "committed");
	CHECK_INT(js_int(after, "committed_version", 0), 2);
	CHECK_INT(js_int(after, "baseline_version", 0), 2);
	box_done(&box);
}

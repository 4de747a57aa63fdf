/* May a promotion be approved without a person? Only when everything that policy asks for is
 * measured and said; what is missing means that a person is asked. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "rollout/approval.h"
#include "service/quiesce.h"

/* --- How long it has been proposed ------------------------------------------------------------ */

typedef struct Staged {
	const char *promotion;
	int64_t at_us; /* -1: not seen yet */
	char experiment[72], newer[72];
} Staged;

static int staged_one(void *userdata, const Record *r, const json_t *body)
{
	Staged *s = userdata;
	const char *id = js_str(body, "id", ""), *experiment = js_str(body, "experiment", "");
	if (s->at_us < 0 && strcmp(id, s->promotion) == 0) {
		s->at_us = r->at_us;
		(void)snprintf(s->experiment, sizeof(s->experiment), "%.70s", experiment);
	} else if (s->at_us >= 0 && strcmp(id, s->promotion) != 0 &&
		   strcmp(experiment, s->experiment) == 0) {
		(void)snprintf(s->newer, sizeof(s->newer), "%.70s", id);
	}
	return 0;
}

int approval_staged_since(Store *s, const char *promotion, int64_t *ret_us, Err *err)
{
	Staged staged = {.promotion = promotion, .at_us = -1};
	int r = store_records(s, "promotion", false, 0, staged_one, &staged, err);
	if (r < 0)
		return r;
	if (staged.at_us < 0)
		return err_set(err, -ENOENT, "there is no promotion '%s'", promotion);
	if (*staged.newer)
		return err_set(err, -ESTALE, "%s was proposed after %s", staged.newer, promotion);
	*ret_us = staged.at_us;
	return 0;
}

/* --- What policy asks ------------------------------------------------------------------------- */

static bool is_among(const ConfStrings *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], name) == 0)
			return true;
	return false;
}

static int check_parameters(const RolloutConfig *policy, const json_t *changes, Err *err)
{
	size_t i;
	json_t *change;
	if (json_array_size(changes) == 0)
		return err_set(err, -EPERM, "it changes nothing: a person must say what it is for");
	json_array_foreach (changes, i, change) {
		const char *name = js_str(change, "parameter", "?");
		if (policy->auto_parameters.n > 0 && !is_among(&policy->auto_parameters, name))
			return err_set(err, -EPERM,
				       "it changes %.64s, which rollout.auto_parameters does not "
				       "name: a person must approve it",
				       name);
	}
	return 0;
}

/* The lower end of the gain's interval, as a share of what the baseline has. */
static int check_gain(const RolloutConfig *policy, const json_t *promotion, Err *err)
{
	const json_t *baseline = json_object_get(promotion, "baseline");
	double low = js_num(json_object_get(promotion, "fitness_gain"), "lo", (double)NAN);
	double mean = js_num(json_object_get(baseline, "fitness"), "mean", (double)NAN);
	if (!isfinite(low) || !isfinite(mean) || mean <= 0)
		return err_set(err, -EPERM,
			       "it carries no measured gain: a person must approve it");
	double share = low / mean;
	if (low > 0 && share >= policy->auto_min_gain)
		return 0;
	return err_set(err, -EPERM,
		       "its gain may be as little as %.1f %%, and rollout.auto_min_gain asks for "
		       "%.1f %%: a person must approve it",
		       100 * share, 100 * policy->auto_min_gain);
}

static int check_soak(const RolloutConfig *policy, int64_t since_us, int64_t now_us, Err *err)
{
	char left[32], soak[32];
	if (since_us > now_us)
		return err_set(err, -EPERM,
			       "it was proposed at a time that is still to come: a person must "
			       "look at the clock and approve it");
	if (now_us - since_us >= policy->soak_us)
		return 0;
	time_human(policy->soak_us - (now_us - since_us), left);
	time_human(policy->soak_us, soak);
	return err_set(err, -EAGAIN,
		       "it must have been proposed for %s (rollout.soak); %s are left", soak, left);
}

static int check_window(const RolloutConfig *policy, int64_t now_us, int utc_offset_min, Err *err)
{
	int from, to;
	if (!policy->window)
		return 0;
	if (!quiesce_window_parse(policy->window, &from, &to))
		return err_set(err, -EPERM,
			       "rollout.window is \"%.40s\", which is no window such as "
			       "03:00-07:00: a person must approve it",
			       policy->window);
	QuiesceSpec q = {.window = policy->window};
	if (quiesce_in_window(&q, now_us, utc_offset_min))
		return 0;
	return err_set(err, -EAGAIN, "it is outside of the window %s (rollout.window)",
		       policy->window);
}

int approval_by_policy(const RolloutConfig *policy, const json_t *promotion,
		       int64_t staged_since_us, int64_t now_us, int utc_offset_min, Err *err)
{
	if (!policy->approval || strcmp(policy->approval, "auto") != 0)
		return err_set(err, -EPERM,
			       "a person must approve it (rollout.approval is manual)");
	int r = check_parameters(policy, json_object_get(promotion, "changes"), err);
	if (r == 0)
		r = check_gain(policy, promotion, err);
	/* What only time can mend comes last: who waits has nothing else to do. */
	if (r == 0)
		r = check_soak(policy, staged_since_us, now_us, err);
	if (r == 0)
		r = check_window(policy, now_us, utc_offset_min, err);
	return r;
}

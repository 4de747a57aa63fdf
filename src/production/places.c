/* Where production is kept. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "production/adoption.h"

void productionplaces_done(ProductionPlaces *p)
{
	free(p->adopted_dir);
	free(p->state_dir);
	free(p->unit_dir);
	*p = (ProductionPlaces){0};
}

static int check(ProductionPlaces *p, ProductionPlaces *ret, Err *err)
{
	if (!p->adopted_dir || !p->state_dir || !p->unit_dir) {
		productionplaces_done(p);
		return err_oom(err);
	}
	*ret = *p;
	return 0;
}

static int system_below(const char *root, ProductionPlaces *ret, Err *err)
{
	ProductionPlaces p = {.adopted_dir = str_fmt("%s/etc/dream/adopted", root),
			      .state_dir = str_fmt("%s/var/lib/dream-production", root),
			      .unit_dir = str_fmt("%s/etc/systemd/system", root)};
	return check(&p, ret, err);
}

/* $NAME, else $HOME/otherwise. Only absolute ones count. NULL: neither, or out of memory. */
static char *xdg_dir(const char *root, const char *name, const char *otherwise)
{
	const char *dir = getenv(name), *home = getenv("HOME");
	if (dir && *dir == '/')
		return str_fmt("%s%s", root, dir);
	return home && *home == '/' ? str_fmt("%s%s/%s", root, home, otherwise) : NULL;
}

static int user_below(const char *root, ProductionPlaces *ret, Err *err)
{
	_cleanup_free_ char *config = xdg_dir(root, "XDG_CONFIG_HOME", ".config");
	_cleanup_free_ char *state = xdg_dir(root, "XDG_STATE_HOME", ".local/state");
	if (!config || !state)
		return err_set(err, -ENOENT, "this user has no home: HOME is not set");
	ProductionPlaces p = {.adopted_dir = path_join(config, "dream/adopted"),
			      .state_dir = path_join(state, "dream-production"),
			      .unit_dir = path_join(config, "systemd/user"),
			      .user = true};
	return check(&p, ret, err);
}

int productionplaces_system(ProductionPlaces *ret, Err *err)
{
	return system_below("", ret, err);
}

int productionplaces_user(ProductionPlaces *ret, Err *err)
{
	return user_below("", ret, err);
}

int productionplaces_here(ProductionPlaces *ret, Err *err)
{
	const char *root = getenv("DREAM_PRODUCTION_ROOT");
	if (root && *root && *root != '/')
		return err_set(err, -EINVAL, "DREAM_PRODUCTION_ROOT must be an absolute path");
	return geteuid() == 0 ? system_below(root ? root : "", ret, err)
			      : user_below(root ? root : "", ret, err);
}

char *adoption_dropin_path(const ProductionPlaces *p, const char *unit)
{
	return str_fmt("%s/%s.d/" ADOPTION_DROPIN, p->unit_dir, unit);
}

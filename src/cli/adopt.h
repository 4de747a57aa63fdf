#pragma once
/* `dream adopt`: what its files share. */
#include "production/adoption.h"
#include "production/generation.h"
#include "systemd/bus.h"

/* The machine as adopting sees it. */
typedef struct AdoptWorld {
	ProductionPlaces places;
	sd_event *loop;
	Systemd *systemd;
	Adoption *adopted; /* all of them */
	size_t n_adopted;
	json_t *values; /* of the current generation; {} when there is none */
	char current[GENERATION_ID_SIZE];
} AdoptWorld;

int adoptworld_open(AdoptWorld *w, bool with_systemd, Err *err) _must_check_;
void adoptworld_done(AdoptWorld *w);
const Adoption *adoptworld_find(const AdoptWorld *w, const char *unit); /* NULL */
/* -EBUSY while a rollout is changing production. */
int adoptworld_check_idle(const AdoptWorld *w, Err *err) _must_check_;
/* Makes a generation of these values the current one. */
int adoptworld_put(const AdoptWorld *w, const Adoption *units, size_t n, const json_t *values,
		   Err *err) _must_check_;

/* The files of a unit as its manager reads them, our own drop-in left out. */
typedef struct UnitTexts {
	UnitFile *files;
	size_t n;
	bool has_ours;	/* our drop-in is among what the manager has read */
	bool transient; /* made by a program, without a file that stays */
} UnitTexts;

int unittexts_read(const AdoptWorld *w, const char *unit, const char *ours, UnitTexts *ret,
		   Err *err) _must_check_;
void unittexts_done(UnitTexts *t);
/* Reload, and proof that the manager has the unit's files as they are now: with our drop-in, or
 * without it. */
int adopt_reload(const AdoptWorld *w, const char *unit, const char *ours, bool with,
		 Err *err) _must_check_;

/* adopt_view.c: what would be done, before anybody is asked. */
typedef struct AdoptPreview {
	const Adoption *a;
	const char *dropin,
	    *before; /* the drop-in's text as it will be, and as it is; may be NULL */
	const json_t *values;
	const char *notes;
	const UnitTexts *texts;
} AdoptPreview;

int adopt_print_preview(const AdoptPreview *p);
int adopt_list(const AdoptWorld *w, bool json);
/* What was edited since it was adopted ("": nothing), or why that cannot be seen. New string. */
int adopt_drift(const AdoptWorld *w, const Adoption *a, char **ret, Err *err) _must_check_;

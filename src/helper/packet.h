#pragma once
/* The protocol as text. A request is taken apart here, strictly, before anything looks at it: what
 * comes out has exactly the members of its verb, each of the right form. Pure. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
	PACKET_UNITS_MAX = 32,
	PACKET_VALUES_MAX = 64,
};

typedef enum MemberForm {
	MEMBER_UNIT,	   /* "judge.service" */
	MEMBER_UNITS,	   /* a list of them, none twice */
	MEMBER_ROLLOUT,	   /* letters, digits and "._:-" */
	MEMBER_GENERATION, /* 16 lower-case hex digits */
	MEMBER_VALUES,	   /* {"parameter": "value"}, values plain */
} MemberForm;

typedef struct Member {
	const char *name; /* NULL ends a list */
	MemberForm form;
} Member;

/* What a verb is called and what it takes; every member must be there. */
typedef struct VerbForm {
	const char *name;
	const Member *members;
} VerbForm;

/* -EBADMSG: not JSON; -EINVAL: not such a request, with the reason. *ret_form: an index. */
int packet_request(const char *text, size_t len, const VerbForm *forms, size_t n_forms,
		   size_t *ret_form, json_t **ret, Err *err) _must_check_;

/* The text of an answer: `members` (borrowed, an object or NULL) and "ok", or what went wrong. An
 * answer that would be too long becomes one that says so. -ENOMEM. New string. */
int packet_reply(const json_t *members, char **ret) _must_check_;
int packet_refusal(const Err *why, char **ret) _must_check_;
/* The other way: 0, or the errno of a refusal with its message; -EBADMSG: no such answer. */
int packet_answer(const char *text, size_t len, json_t **ret, Err *err) _must_check_;

/* "EPERM"; "EIO" for a number without a name. And back: -EIO for a name without a number. */
const char *errno_name(int code);
int errno_of_name(const char *name);

#pragma once
/* A test file is: TEST(name) { ... } blocks and nothing else.  Output is TAP, so `meson test`
 * shows each case.  Arguments, if any, name the cases to run. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct TestCase {
	const char *name;
	void (*run)(void);
	struct TestCase *next;
} TestCase;

extern TestCase *test_first, **test_tail;
extern const char *test_skip_why;
_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define TEST(id)                                                          \
	static void test_##id(void);                                      \
	__attribute__((constructor)) static void test_register_##id(void) \
	{                                                                 \
		static TestCase c = {.name = #id, .run = test_##id};      \
		*test_tail = &c;                                          \
		test_tail = &c.next;                                      \
	}                                                                 \
	static void test_##id(void)

#define SKIP(why)                      \
	do {                           \
		test_skip_why = (why); \
		return;                \
	} while (0)
#define CHECK(x)                                                 \
	do {                                                     \
		if (!(x))                                        \
			test_fail(__FILE__, __LINE__, "%s", #x); \
	} while (0)
#define CHECK_OK(x)                                                                           \
	do {                                                                                  \
		int _r = (x);                                                                 \
		if (_r < 0)                                                                   \
			test_fail(__FILE__, __LINE__, "%s = %d (%s)", #x, _r, strerror(-_r)); \
	} while (0)
#define CHECK_ERR(x, e)                                                                \
	do {                                                                           \
		int _r = (x);                                                          \
		if (_r != -(e))                                                        \
			test_fail(__FILE__, __LINE__, "%s = %d, want %s", #x, _r, #e); \
	} while (0)
#define CHECK_INT(a, b)                                                                  \
	do {                                                                             \
		intmax_t _a = (a), _b = (b);                                             \
		if (_a != _b)                                                            \
			test_fail(__FILE__, __LINE__, "%s = %jd, want %jd", #a, _a, _b); \
	} while (0)
#define CHECK_STR(a, b)                                                               \
	do {                                                                          \
		const char *_a = (a), *_b = (b);                                      \
		if (!_a || strcmp(_a, _b) != 0)                                       \
			test_fail(__FILE__, __LINE__, "%s = \"%s\", want \"%s\"", #a, \
				  _a ? _a : "(null)", _b);                            \
	} while (0)
#define CHECK_NEAR(a, b, tol)                                                                     \
	do {                                                                                      \
		double _a = (a), _b = (b);                                                        \
		if (!(fabs(_a - _b) <= (tol)))                                                    \
			test_fail(__FILE__, __LINE__, "%s = %.17g, want %.17g +- %g", #a, _a, _b, \
				  (double)(tol));                                                 \
	} while (0)

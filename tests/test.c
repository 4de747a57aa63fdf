#include "test.h"

#include <stdarg.h>

TestCase *test_first, **test_tail = &test_first;
const char *test_skip_why;
static const char *running;
static int number;

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	printf("not ok %d %s\n# %s:%d: ", number, running, file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	abort();
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	int n = 0;
	for (TestCase *c = test_first; c; c = c->next)
		n += wanted(c->name, argc, argv);
	printf("1..%d\n", n);
	for (TestCase *c = test_first; c; c = c->next) {
		if (!wanted(c->name, argc, argv))
			continue;
		number++;
		running = c->name;
		test_skip_why = NULL;
		c->run();
		printf(test_skip_why ? "ok %d %s # SKIP %s\n" : "ok %d %s\n", number, c->name,
		       test_skip_why);
		fflush(stdout);
	}
	return 0;
}

/* A process on the simulated GPU, for tests of whole programs: guest FILE MIB BUSY
 * compute|graphics. Says "ready" when it holds its memory and goes on until its standard input
 * ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "twin.h"

static void say_what_it_is(SharedGpu *g)
{
	if (shared_describe(g, TWIN_UUID, "Twin of a card", (int64_t)TWIN_TOTAL_MIB << 20, .05) < 0)
		exit(1);
	g->sm_mhz = 1500;
	g->sm_max_mhz = 1777;
	g->memory_mhz = 7501;
	g->temperature_c = 61;
	g->power_w = 128.5;
	g->power_limit_w = 170;
	g->reserved_bytes = 300LL << 20;
	g->throttle_bits = 0x24;
	memcpy(g->driver, "580.82", 7);
}

int main(int argc, char **argv)
{
	SharedGpu *g;
	struct timespec now;
	char c;
	if (argc < 5 || shared_open(argv[1], true, &g) < 0)
		return 1;
	say_what_it_is(g);
	shared_name(g, "guest", strcmp(argv[4], "graphics") == 0);
	if (shared_take(g, strtoll(argv[2], NULL, 10) * (1 << 20)) < 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	shared_busy(g, strtod(argv[3], NULL), (int64_t)now.tv_sec * 1000000 + 600000000);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	shared_close(g);
	return 0;
}

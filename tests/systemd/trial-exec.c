/* What the template's ExecStart= does, alone. */
#include <stdio.h>

#include "systemd/trialfile.h"

int main(int argc, char **argv)
{
	Err err = ERR_INIT;
	if (argc != 2 || trialfile_run(argv[1], &err) < 0)
		fprintf(stderr, "%s\n", err.msg);
	return 1;
}

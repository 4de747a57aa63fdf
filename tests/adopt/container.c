/* A container program for tests: what it is given it shows in its own command line, and stays. */
#include <unistd.h>

int main(void)
{
	for (;;)
		pause();
}

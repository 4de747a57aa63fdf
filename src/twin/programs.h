#pragma once
/* The simulated box as programs in wall time: each takes what stands behind its name on the command
 * line and returns the exit code. */

int twin_vllm(int argc, char **argv);	 /* vllm serve ... */
int twin_whisper(int argc, char **argv); /* whisper-server ..., or --model small --device cuda */
int twin_gpu(int argc, char **argv);	 /* the box's other tenants, and what happens to the card */

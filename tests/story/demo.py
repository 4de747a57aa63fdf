#!/usr/bin/python3
"""The story of a rollout for people: every command as one would type it, and what it prints. tests/story/test-story.py is the
same with assertions."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from production import DIR, DREAM, ADOPTIONS, answering, configure, environment, running, running_now, set_up  # noqa: E402
from box import go_first, must, wait  # noqa: E402


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def dream(*args, until=None):
    """Runs it in front of everybody; `until`: killed (SIGKILL) when that becomes true."""
    print("\n$ dream " + " ".join(args), flush=True)
    p = subprocess.Popen([DREAM, *args], env=environment(), cwd=DIR, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    if until:
        wait("the moment to kill it", until, 90)
        p.send_signal(signal.SIGKILL)
    out = []
    for line in p.stdout:
        print(line, end="", flush=True)
        out.append(line)
    p.wait()
    if until:
        print("Killed", flush=True)
    elif p.returncode:
        print(f"(exit {p.returncode})", flush=True)
    return p.returncode, "".join(out)


def what_runs():
    print("\nWhat the processes of production have now: " + ", ".join(f"{k}={v}" for k, v in running().items()), flush=True)


def propose(*values):
    _, out = dream("promotion", "new", *values)
    name = next(w for w in out.replace(":", " ").split() if w.startswith("promotion-"))
    dream("approve", name, "--reason", "for the story")
    return name


def main():
    say("A box in production: a language model at 0.50 of the card, Whisper small, other services. No GPU: it is simulated.")
    set_up(go_first())
    configure()
    what_runs()
    say("Each unit is adopted once: a drop-in makes it take its tuned values from a data file.")
    for unit, *targets in ADOPTIONS:
        dream("adopt", "--yes", unit, *targets)
    must("systemctl", "restart", "judge.service", "voice.service")
    wait("production answers", answering)
    dream("baseline")

    say("(a) A good promotion goes through, stage by stage and parameter by parameter.")
    good = propose("vllm_memory_util=0.55", "whisper_model_size=base")
    dream("rollout", good, "--dry-run")
    dream("rollout", good, "--foreground")
    what_runs()

    say("(b) 0.40 and tiny, made by hand: the memory model refuses it.")
    bad = propose("vllm_memory_util=0.40", "whisper_model_size=tiny")
    dream("rollout", bad, "--foreground")
    say("Without the model it is caught at the isolated stage; tiny goes on alone.")
    configure(memory="false")
    bad = propose("vllm_memory_util=0.40", "whisper_model_size=tiny")
    dream("rollout", bad, "--foreground")
    what_runs()
    say("Forced into production without those stages: the start fails, and it is taken back at once.")
    dream("rollback", "1")
    configure(memory="false", stages="production, cold_start")
    bad = propose("vllm_memory_util=0.40", "whisper_model_size=tiny")
    dream("rollout", bad, "--foreground")
    what_runs()

    say("(c) A promotion that starts well and slowly gets worse: the watch takes it back.")
    configure(stages="production", watch="40 s")
    slow = propose("judge_allocator=slower:200s")
    dream("rollout", slow, "--foreground")
    what_runs()

    say("(d) kill -9 in the middle.")
    configure(stages="production", watch="60 s", inconclusive="undo")
    half = propose("vllm_memory_util=0.60")
    dream("rollout", half, "--foreground", until=lambda: (running_now() or {}).get("vllm_memory_util") == 0.60)
    what_runs()
    dream("rollout", "--resume")
    what_runs()

    say("(e) Back to the beginning.")
    began = time.monotonic()
    dream("rollback", "1")
    print(f"\n{time.monotonic() - began:.1f} s", flush=True)
    what_runs()
    dream("baseline", "log")
    dream("promotions")
    dream("lineage", "verify")


main()

#!/usr/bin/python3
"""The k-th write, fsync, open, fork or large malloc fails, for every k (FAULTS=all) or a seeded sample of FAULTS of
them: the program says so in a sentence and ends, or does without; then the same command, undisturbed, comes to the same
result as a run that was never disturbed."""
import errno
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Box, ROOT, example, run_cases

INJECT = os.environ["INJECT_LIBRARY"]
FAULTS = os.environ.get("FAULTS", "12")
SEED = int(os.environ.get("SEED", "1"))
CONFIG = example("rtx3060.yaml")
FORKING = """
version: 1
experiments:
  - name: forking
    search_space: {a: [1, 2, 3]}
    baseline: {a: 3}
    evaluator: {kind: command, command: [sh, %s], applies: true}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
    confirm: {pairs: 3, min_pairs: 3}
""" % os.path.join(ROOT, "tests/run/probe.sh")


def preload(box, kind, k, code, **more):
    return box.env(LD_PRELOAD=INJECT, INJECT=f"{kind}:{k}:{code}", INJECT_UNDER=box.dir, SPANS="/dev/null", **more)


def count_calls(config, kind):
    with Box(config) as box:
        counts = os.path.join(box.dir, "counts")
        done = box.run(env=preload(box, kind, 0, 0, INJECT_COUNT=counts))
        assert done.code == 0, done
        return int(open(counts).read()), box.result()


def every_failure_of(kind, code, config=CONFIG):
    n, whole = count_calls(config, kind)
    assert n > 0, f"no {kind} was counted: the test tests nothing"
    ks = list(range(1, n + 1))
    if FAULTS != "all" and n > int(FAULTS):
        ks = sorted(random.Random(f"{SEED}{kind}").sample(ks, int(FAULTS)))
    print(f"# {kind}: {n} calls, {len(ks)} of them fail in turn, seed {SEED}", flush=True)
    for k in ks:
        with Box(config) as box:
            done = box.run(env=preload(box, kind, k, code), timeout=120)
            assert done.code in (0, 1, 3), f"{kind} {k}: {done}"
            if done.code == 1:
                assert done.err.strip(), f"{kind} {k}: it failed without a word"
                assert done.err.count("\n") <= 3, f"{kind} {k}: {done}"
            if not box.result():
                again = box.run(env=box.env(SPANS="/dev/null"))
                assert again.code == 0, f"{kind} {k}: after {done}\nthen {again}"
            box.verify()
            assert box.result() == whole, f"{kind} {k}: another result"


def a_failing_write_loses_nothing():
    every_failure_of("write", errno.ENOSPC)


def a_failing_sync_loses_nothing():
    every_failure_of("sync", errno.EIO)


def a_failing_open_loses_nothing():
    every_failure_of("open", errno.EMFILE)


def a_failing_malloc_loses_nothing():
    every_failure_of("malloc", errno.ENOMEM)


def a_failing_fork_loses_nothing():
    every_failure_of("fork", errno.EAGAIN, FORKING)


if os.environ.get("SANITIZED"):
    print("1..1\nok 1 faults # SKIP a sanitizer's allocator and a preloaded one do not go together")
else:
    run_cases([a_failing_write_loses_nothing, a_failing_sync_loses_nothing, a_failing_open_loses_nothing,
               a_failing_malloc_loses_nothing, a_failing_fork_loses_nothing])

#!/usr/bin/python3
"""The k-th write, fsync, open, other descriptor, fork or malloc fails, for every k (FAULTS=all) or a seeded sample of
FAULTS of them: the program says so in a sentence and ends, or does without; then the same command, undisturbed, comes
to the same result as a run that was never disturbed. KINDS names the cases, SEED the sample; all that went wrong is
reported, not only the first."""
import errno
import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Box, ROOT, example, run_cases

INJECT = os.environ["INJECT_LIBRARY"]
FAULTS = os.environ.get("FAULTS", "5")
SEED = int(os.environ.get("SEED", "1"))
SANITIZED = bool(os.environ.get("SANITIZED"))
TWIN = example("rtx3060.yaml")
WHY = {
    errno.ENOSPC: ("the disk is full", "no space left on device"),
    errno.EIO: ("input/output error",),
    errno.EMFILE: ("too many open files", "it or a file beside it cannot be opened"),
    errno.EAGAIN: ("resource temporarily unavailable",),
    errno.ENOMEM: ("out of memory", "cannot allocate memory"),
}
PROBE = """
version: 1
experiments:
  - name: forking
    search_space: {a: [1, 2, 3]}
    baseline: {a: 3}
    evaluator: %s
    budget: {allow_gpu: true}
    gpu: GPU-test
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
    confirm: {pairs: 3, min_pairs: 3}
"""
COMMAND = PROBE % ("{kind: command, command: [sh, %s], applies: true}" % os.path.join(ROOT, "tests/run/probe.sh"))
PYTHON = PROBE % ("{path: %s, class: Probe, applies: true}" % os.path.join(ROOT, "tests/run/probe.py"))


class Failing:
    """One command under failures of one kind; `usable` says what must hold after one."""

    def __init__(self, kind, code, config, args=("run",), big=4096):
        self.kind, self.code, self.config, self.args, self.big = kind, code, config, args, big

    def command(self, box, k, **more):
        env = box.env(LD_PRELOAD=INJECT, INJECT=f"{self.kind}:{k}:{self.code}", INJECT_UNDER=box.dir,
                      INJECT_BIG=self.big, SPANS="/dev/null", **more)
        if SANITIZED:
            # Ours is loaded before the sanitizer's runtime, which is fine: it hands every call on to it.
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return box.dream(*self.args, "-c", box.config, env=env, timeout=120)

    def count(self):
        with Box(self.config) as box:
            counts = os.path.join(box.dir, "counts")
            done = self.command(box, 0, INJECT_COUNT=counts)
            assert done.code == 0, done
            return int(open(counts).read()), self.outcome(box, done)

    def outcome(self, box, done):
        return box.result() if self.args[0] == "run" else done.out.replace(box.dir, "")

    def check(self, k, whole):
        """What is wrong when the k-th call fails, in words, or None."""
        with Box(self.config) as box:
            done = self.command(box, k)
            if done.code not in (0, 1, 3):
                return f"ends with {done}"
            if done.code == 1 and (not done.err.strip() or done.err.count("\n") > 3):
                return f"is not one clear sentence: {done}"
            if done.code == 1 and not any(words in done.err.lower() for words in WHY[self.code]):
                return f"does not say why: {done}"
            if self.args[0] != "run":
                same = done.code or self.outcome(box, done) == whole
                return None if same else f"prints something else: {done}"
            result = box.result()
            if not result:
                again = box.run(env=box.env(SPANS="/dev/null"))
                if again.code != 0:
                    return f"makes the next run fail: after {done}\nthen {again}"
                result = box.result()
            sound = box.dream("lineage", "verify", "-c", box.config)
            if sound.code != 0:
                return f"breaks the chain: after {done}\nthen {sound}"
            left = [n for d, _, names in os.walk(box.artifacts()) for n in names if n.endswith("~")]
            if left and done.code != 1:
                return f"leaves {left}"
            return None if result == whole else f"changes the result: {done}"


def every_failure_of(kind, code, config=TWIN, **how):
    failing = Failing(kind, code, config, **how)
    n, whole = failing.count()
    assert n > 0, f"no {kind} was counted: the test tests nothing"
    ks = list(range(1, n + 1))
    most = n if FAULTS == "all" and n <= 5000 else 400 if FAULTS == "all" else int(FAULTS)
    if most < n:
        ks = sorted(random.Random(f"{SEED}{kind}").sample(ks, most))
    print(f"# {kind}: {n} calls, {len(ks)} of them fail in turn, seed {SEED}", flush=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        found = workers.map(lambda k: failing.check(k, whole), ks)
        wrong = [f"{kind} {k} {what}" for k, what in zip(ks, found) if what]
    assert not wrong, f"{len(wrong)} of {len(ks)}:\n" + "\n".join(wrong[:20])


def a_failing_write_loses_nothing():
    every_failure_of("write", errno.ENOSPC)


def a_failing_sync_loses_nothing():
    every_failure_of("sync", errno.EIO)


def a_failing_open_loses_nothing():
    every_failure_of("open", errno.EMFILE)


def a_missing_descriptor_loses_nothing():
    every_failure_of("fd", errno.EMFILE)


def a_failing_malloc_loses_nothing():
    every_failure_of("malloc", errno.ENOMEM)


def a_failing_small_malloc_loses_nothing():
    every_failure_of("malloc", errno.ENOMEM, big=1)


def a_failing_fork_under_a_command_evaluator_loses_nothing():
    every_failure_of("fork", errno.EAGAIN, COMMAND)


def a_failing_open_under_a_command_evaluator_loses_nothing():
    every_failure_of("open", errno.EMFILE, COMMAND)


def a_missing_descriptor_under_a_command_evaluator_loses_nothing():
    every_failure_of("fd", errno.EMFILE, COMMAND)


def a_failing_malloc_under_a_command_evaluator_loses_nothing():
    every_failure_of("malloc", errno.ENOMEM, COMMAND)


def a_failing_fork_under_a_python_evaluator_loses_nothing():
    every_failure_of("fork", errno.EAGAIN, PYTHON)


def a_failing_malloc_never_turns_a_check_into_a_verdict():
    every_failure_of("malloc", errno.ENOMEM, big=64, args=("check",))


def a_failing_open_never_turns_a_check_into_a_verdict():
    every_failure_of("open", errno.EMFILE, args=("check",))


run_cases([f for name, f in list(globals().items()) if name.startswith("a_") and callable(f)])

#!/usr/bin/python3
"""The store is locked by somebody at the moment of a commit: what was confirmed stays, and is the new version of the baseline as
soon as the store can be written, whether the rollout is still there then, or has ended, or was killed."""
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "../run")]
from bed import *  # noqa: E402,F403
from tap import run_cases  # noqa: E402

NOTE = "/var/lib/dream/commit.json"
VALUES = ["1", "2", "3"]
SOAK = bool(os.environ.get("DREAM_SOAK"))


def set_up():
    boot()
    # Nobody starts it cold here, and a doubt is watched again: that there is a commit is what counts.
    text = EXPERIMENT.format(name="sure", dir=DIR, observe="4 s", watch="4 s", ready="20 s")
    for was, now in (("stages: [production, cold_start]", "stages: [production]"), ("on_inconclusive: undo", "on_inconclusive: wait\n      waits: 9"),
                     ("probe_every: 50 ms", "probe_every: 20 ms")):
        assert text.count(was) == 1, was
        text = text.replace(was, now)
    write(CONFIG, PLAN.format(dir=DIR, experiments=text))


class Locked:
    """Held by a program that knows nothing of us."""

    def __enter__(self):
        self.db = sqlite3.connect(STORE, timeout=30, isolation_level=None)
        self.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_):
        self.db.execute("ROLLBACK")
        self.db.close()


def is_committed():
    """As far as the helper is concerned."""
    return ask_helper("status")["change"] is None and os.path.exists(NOTE)


class Rollout:
    def __init__(self):
        self.version = records("baseline")[-1]["version"]
        self.value = VALUES[VALUES.index(records("baseline")[-1]["params"]["mode"]) + 1]  # each is sooner to answer
        self.promotion = new_promotion("sure", mode=self.value)
        self.p = subprocess.Popen([DREAM, "rollout", self.promotion, "--foreground", "-c", CONFIG], env=environment(), cwd="/",
                                  stdin=subprocess.DEVNULL, stdout=open(f"{DIR}/out", "w"), stderr=subprocess.STDOUT)
        steps = len(records("rollout"))
        wait("its change is watched", lambda: phase_since(steps) == "watch" or self.p.poll() is not None, 60)
        assert self.p.poll() is None, self.said()

    def said(self):
        with open(f"{DIR}/out") as f:
            return f.read()

    def check(self, extra=0):
        newest = records("baseline")[-1]
        assert newest["version"] == self.version + 1 + extra, (newest, self.said())
        assert newest["why"] == "rollout" and newest["promotion"] == self.promotion and newest["params"]["mode"] == self.value, newest
        assert running() == values_of(newest["params"]), running()
        assert not os.path.exists(NOTE)
        last = records("rollout")[-1]
        assert last["phase"] == "ended" and last["result"] == "committed", last
        good("lineage", "verify", "-c", CONFIG)


def until_committed(rollout):
    wait("it is committed", lambda: is_committed() or rollout.p.poll() is not None, 90)


# --- Cases --------------------------------------------------------------------------------------


def given_back_after_its_end_the_daemon_writes_it_when_it_starts():
    rollout = Rollout()
    with Locked():
        code = rollout.p.wait(120)
        assert code == 0 and "when the store can be written" in rollout.said(), (code, rollout.said())
        assert len(records("baseline")) == rollout.version and os.path.exists(NOTE)
        assert ask_helper("status")["change"] is None
    must("systemctl", "start", "dream.service")
    wait("the version is there", lambda: len(records("baseline")) > rollout.version)
    wait("its end is", lambda: records("rollout")[-1]["phase"] == "ended")
    rollout.check()
    must("systemctl", "stop", "dream.service")


def killed_and_given_back_it_is_taken_up_as_committed():
    rollout = Rollout()
    with Locked():
        until_committed(rollout)
        assert rollout.p.poll() is None, rollout.said()
        assert kill(rollout.p.pid) == 1
        rollout.p.wait(30)
        assert len(records("baseline")) == rollout.version
    code, text = dream("rollout", "--resume", "-c", CONFIG, root=True, timeout=120)
    assert code == 0, (code, text)
    assert "was committed when the store could not be written" in text, text
    rollout.check()


# tests/rollout/test-unwritten.c has the pieces of the first, in a second.
run_cases([set_up] + [given_back_after_its_end_the_daemon_writes_it_when_it_starts] * SOAK
          + [killed_and_given_back_it_is_taken_up_as_committed])

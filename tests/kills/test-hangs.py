#!/usr/bin/python3
"""A service whose start does not end, and whose unit gives it for ever: a rollout takes it back when the time of a start is over,
and at once when a person says so. And an undo that itself takes long ends well, however often the daemon is killed in it."""
import datetime
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "../run")]
from bed import *  # noqa: E402,F403
from tap import run_cases  # noqa: E402

READY_S = {"whole": 60, "quick": 3}
SLOW = f"{DIR}/slow"  # while it is there first.service is not ready, whatever its values
HANGING = f"""#!/usr/bin/python3
import os, socket, sys, time
while os.environ["MODE"] == "3" or os.path.exists("{SLOW}"):
    time.sleep(0.02)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
os.execv("{DIR}/server", ["{DIR}/server", sys.argv[1]])
"""
SOON_S = 2  # from a word to the undo; what the disk takes for it, and production for its start, comes on top


def set_up():
    TIMES.update({name: ("1 s", "1 s", f"{ready} s") for name, ready in READY_S.items()})
    write(f"{DIR}/hanging", HANGING, 0o755)
    write("/run/systemd/system/first.service.d/hanging.conf", "[Service]\nType=notify\nNotifyAccess=all\nTimeoutStartSec=infinity\n"
          f"ExecStart=\nExecStart={DIR}/hanging 18001\n")
    boot()
    must("systemctl", "start", "dream.service")
    wait("the daemon answers", daemon_rests)


def state_of(unit):
    return show(unit, "ActiveState")


def begin_to_hang(experiment):
    """Until first.service hangs in its start with the new value; what production runs then."""
    promotion = new_promotion(experiment, mode=3)
    steps = len(records("rollout"))
    answer = ask_daemon(do="rollout", promotion=promotion)
    assert answer["ok"], answer
    wait("it hangs", lambda: state_of("first.service") == "activating" and phase_since(steps) == "apply")
    assert ask_helper("status")["change"] is not None
    return steps


def taken_back(steps, seconds=30):
    wait("the daemon rests", daemon_rests, seconds)
    assert running() == values_of({"mode": "1", "level": "1"}), running()
    last = records("rollout")[-1]
    assert last["phase"] == "ended" and last["result"] == "rolled_back", last
    assert ask_helper("status")["change"] is None
    return [s["words"] for s in records("rollout")[steps:]]


def seconds_until(what, ready):
    began = time.monotonic()
    wait(what, ready)
    return time.monotonic() - began


def decided_at(do, steps):
    """When the rollout first decided to do that, in seconds since 1970."""
    at = next(s["at"] for s in records("rollout")[steps:] if s["do"] == do)
    return datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def is_back():
    return ask_helper("status")["change"] is None and state_of("first.service") == "active"


# --- Cases --------------------------------------------------------------------------------------


def at_the_end_of_its_time_it_is_taken_back():
    steps = begin_to_hang("quick")
    words = taken_back(steps)
    assert any("first.service did not start within 3.0 s" in w for w in words), words
    took = decided_at("undo", steps) - decided_at("apply", steps)
    print(f"# {took:.1f} s for a change of which a start may take {READY_S['quick']} s")
    assert READY_S["quick"] <= took < READY_S["quick"] + 10, took
    with open(f"{DIR}/state/downtime.json") as f:
        longest = max(e["ended_at_us"] - e["began_at_us"] for e in json.load(f)["downtime"])
    assert longest >= READY_S["quick"] * 1e6, longest  # a start that came to nothing has cost what it took


def a_persons_word_takes_it_back_at_once():
    for how in (["rollout", "--abort"], ["rollback"]):
        steps = begin_to_hang("whole")
        asked_at = time.time()
        good(*how, "--reason", "it hangs", root=True)
        back = seconds_until("production is back", is_back)
        took = decided_at("undo", steps) - asked_at
        print(f"# dream {' '.join(how)}: undone after {took:.2f} s, production is back {back:.2f} s after the answer")
        assert took < SOON_S, took
        taken_back(steps)


def a_daemon_that_is_killed_meanwhile_takes_it_back_when_it_is_there_again():
    steps = begin_to_hang("whole")
    assert kill(*pids_of("dream.service")) > 0
    took = seconds_until("production is back", is_back)
    print(f"# {took:.2f} s, its start included")
    taken_back(steps)


def an_undo_in_which_the_daemon_is_killed_again_and_again_is_not_stuck():
    steps = begin_to_hang("whole")
    write(SLOW, "")
    good("rollout", "--abort", root=True)
    kills = 6
    for _ in range(kills):
        wait("it is being taken back", lambda: phase_since(steps) == "undo" and ask_helper("status")["change"] is None
             and state_of("first.service") == "activating")
        before = len(records("rollout"))
        pid = wait("the daemon runs", lambda: pids_of("dream.service"))
        assert kill(*pid) > 0
        wait("it has taken it up", lambda: len(records("rollout")) > before)
    os.unlink(SLOW)
    words = taken_back(steps, 60)
    assert len([w for w in words if "was restarted" in w]) >= kills, words


run_cases([
    set_up,
    at_the_end_of_its_time_it_is_taken_back,
    a_persons_word_takes_it_back_at_once,
    a_daemon_that_is_killed_meanwhile_takes_it_back_when_it_is_there_again,
    an_undo_in_which_the_daemon_is_killed_again_and_again_is_not_stuck,
])

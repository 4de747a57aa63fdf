#!/usr/bin/python3
"""Killed in the middle of rollouts, at whatever moment, dream, its daemon and its helper leave production as one whole
configuration: the old or the new, in all units, and written down once. Also when everything dies at once, as in a power
cut. The moment is drawn (SEED): so long after one of the steps that are told."""
import collections
import random
import sys
import os

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "../run")]
from bed import *  # noqa: E402,F403
from tap import run_cases  # noqa: E402

SEED = int(os.environ.get("SEED", "1"))
SOAK = bool(os.environ.get("DREAM_SOAK"))
KILLS = int(os.environ.get("KILLS", "200")) if SOAK else 8
KINDS = ["quick", "quick", "back", "back", "whole"] if SOAK else ["quick", "back"]
STEPS = {"quick": 15, "back": 9, "whole": 20}  # about so many are told of one that nobody kills
DELAY_S = 0.25
r = random.Random(SEED)
table = collections.Counter()
n_round = 0


# --- One rollout and its end --------------------------------------------------------------------


class Watched:
    """A rollout whose steps can be waited for: a program in the foreground, or the daemon through its socket."""

    def __init__(self):
        self.steps = []
        self.over = threading.Event()
        self.told = threading.Condition()
        self.reader = None

    def read(self, lines, text_of, is_last):
        def run():
            try:
                for line in lines:
                    text = text_of(line)
                    with self.told:
                        if text:
                            self.steps.append(text)
                        self.told.notify_all()
                    if is_last(line):
                        break
            except OSError:
                pass
            self.over.set()
            with self.told:
                self.told.notify_all()
        self.reader = threading.Thread(target=run)
        self.reader.start()

    def wait_for(self, what, seconds=90):
        """False: it was over before."""
        with self.told:
            assert self.told.wait_for(lambda: what() or self.over.is_set(), seconds), self.steps
            return what()

    def wait_step(self, n):
        return self.wait_for(lambda: len(self.steps) >= n)


class Foreground(Watched):
    def __init__(self, *args):
        super().__init__()
        self.p = subprocess.Popen([DREAM, *args, "-c", CONFIG], env=environment(), cwd="/", stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.read(self.p.stdout, str.strip, lambda line: False)

    def kill(self, victim):
        helper = helper_below(self.p.pid) if victim != "dream" else 0
        first, second = (self.p.pid, helper) if r.random() < 0.5 else (helper, self.p.pid)
        wanted = [pid for pid in (first, second) if pid and (victim == "both" or pid == (helper if victim == "helper" else self.p.pid))]
        return kill(*[pid for pid in wanted if pid != self.p.pid or self.p.poll() is None])

    def end(self, seconds=90):
        code = self.p.wait(seconds)
        self.reader.join(seconds)
        return code


class ByDaemon(Watched):
    def __init__(self, **request):
        super().__init__()
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(DAEMON_SOCKET)
        self.s.sendall(b'{"do": "follow"}\n')
        lines = self.s.makefile()
        assert json.loads(lines.readline())["ok"]
        answer = ask_daemon(**request)
        assert answer["ok"], (answer, journal())
        self.read(lines, lambda line: json.loads(line).get("text"), lambda line: json.loads(line).get("event") == "rollout.done")

    def kill(self, victim):
        units = {"dream": ("dream.service",), "helper": ("dream-helper.service",), "both": r.sample(OURS, 2)}[victim]
        return kill(*[pid for unit in units for pid in pids_of(unit)])

    def close(self):
        try:
            self.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.reader.join(30)
        self.s.close()


def confirmed(steps):
    """Nothing but the commit is left of it."""
    return any("cold start:" in s for s in steps) and any(word in steps[-1] for word in ("better:", "no_worse:"))


def at_a_moment(rollout, kind):
    """Waits for a drawn step and some more. False: it was over before."""
    if kind == "whole" and r.random() < 0.5:
        if not rollout.wait_for(lambda: rollout.steps and confirmed(rollout.steps)):
            return False
    elif not rollout.wait_step(r.randint(1, STEPS[kind])):
        return False
    # Not to wait for anything: it is the moment at which it is killed.
    rollout.over.wait(r.choice([0, r.uniform(0, 0.02), r.uniform(0, DELAY_S)]))
    return not rollout.over.is_set()


# --- What must be true afterwards ---------------------------------------------------------------


class Round:
    """A change of production that is begun, and what was before."""

    def __init__(self):
        self.versions = records("baseline")
        self.n_steps = len(records("rollout"))
        self.old = self.versions[-1]["params"]
        self.promotion = self.version = None
        others = [v for v in self.versions if v["params"] != self.old]
        self.kind = r.choice(KINDS)
        if self.kind == "back" and others:
            to = r.choice(others)
            self.version, self.new = to["version"], to["params"]
            return
        better = {name: [v for v in "123" if v > self.old[name]] for name in self.old}
        if self.kind == "back" or not any(better.values()):
            self.kind = "quick"
        names = r.choice([("mode",), ("mode", "level"), ("mode", "level"), ("level",)])
        if self.kind == "whole":  # what is better goes through
            wished = {name: r.choice(better[name]) for name in names if better[name]} or \
                     {name: r.choice(values) for name, values in better.items() if values}
        else:
            wished = {name: r.choice([v for v in "123" if v != self.old[name]]) for name in names}
        if "level" in wished and r.random() < 0.2:
            wished["level"] = "9"  # does not start
        self.new = {**self.old, **wished}
        self.promotion = new_promotion(self.kind, **wished)

    def phase(self):
        return phase_since(self.n_steps)

    def tell(self):
        versions = [(v["version"], v["why"], v["params"]) for v in records("baseline")[len(self.versions) - 1:]]
        steps = [(s["rollout"], s["phase"], s.get("event"), s.get("words")) for s in records("rollout")[self.n_steps:]]
        return f"{self.kind} {self.promotion or self.version} {self.old} -> {self.new}\n{versions}\n" + "\n".join(map(str, steps))

    def check_versions(self, versions):
        """Nothing is written twice, and nothing that was not wished."""
        since = versions[len(self.versions):]
        assert versions[:len(self.versions)] == self.versions
        assert [v["version"] for v in versions] == list(range(1, len(versions) + 1)), self.tell()
        rollouts = [v for v in since if v["why"] == "rollout"]
        assert len(rollouts) <= (self.promotion is not None) and len(since) <= 2, self.tell()
        for v in rollouts:
            assert v["promotion"] == self.promotion and v["params"] != self.old, self.tell()
            assert all(v["params"][k] in (self.old[k], self.new[k]) for k in self.old), self.tell()
        for v in since:
            assert v["why"] in ("rollout", "rollback"), self.tell()
            assert v["why"] == "rollout" or v["params"] in ((self.old, self.new) if self.version else (self.old,)), self.tell()

    def check(self):
        """What must be true afterwards. Which values it ended with: "old", "new", or "part" of what was wished."""
        versions = records("baseline")
        newest = versions[-1]
        self.check_versions(versions)
        status = ask_helper("status")
        assert status["change"] is None, (status["change"], self.tell())
        assert status["current"] == newest["generation"], (status["current"], status["values"], self.tell())
        runs = running()
        assert runs == values_of(newest["params"]), (runs, self.tell())
        assert status["values"] == runs, (status["values"], runs)
        assert self.phase() in ("before", "ended"), self.tell()
        code, text = dream("lineage", "verify", "-c", CONFIG)
        assert code == 0, text
        if newest["params"] == self.old:
            return "old"
        return "new" if newest["params"] == self.new else "part"


def note(how, now, phase, victim, end, steps):
    table[(how, now.kind, phase, victim, end)] += 1
    print(f"# {how} {now.kind}: {victim} killed in {phase} after step {len(steps)}: {end}", flush=True)


# --- A power cut --------------------------------------------------------------------------------


def cut_power():
    """Everything dies at once, and nothing starts by itself."""
    write(POWER_CUT, "")
    n = kill(*[pid for unit in (*OURS, *UNITS) for pid in pids_of(unit)])
    must("systemctl", "stop", *OURS, "dream-helper.socket", "dream-recover.service", *UNITS)
    return n


def power_comes_back():
    if os.path.exists(f"{PRODUCTION}/.boot"):
        os.unlink(f"{PRODUCTION}/.boot")
    os.unlink(POWER_CUT)
    if r.random() < 0.5:
        must(f"{BUILD}/dream-helper", "--recover")
    must("systemctl", "start", "dream-helper.socket", *UNITS)
    runs, values = running(), ask_helper("status")["values"]
    assert runs == values, (runs, values)
    assert runs == values_of({p: v for of_unit in runs.values() for p, v in of_unit.items()}), runs


# --- In the foreground --------------------------------------------------------------------------


def resume():
    """Taken up again until there is nothing to take up; killed in that too, now and then."""
    kills = 0
    for attempt in range(5):
        p = Foreground("rollout", "--resume")
        if attempt < 2 and r.random() < 0.25 and p.wait_step(1):
            p.over.wait(r.uniform(0, 0.3))
            if p.p.poll() is None:
                kills += p.kill(r.choice(["dream", "helper", "both"])) > 0
        code = p.end()
        if any("nothing was in the middle" in line for line in p.steps):
            return kills
        assert code in (0, 1, 3, -9), (code, p.steps)
    raise AssertionError(f"it is never done: {p.steps}")


def one_in_the_foreground():
    now = Round()
    rollout = Foreground("rollout", now.promotion, "--foreground") if now.promotion else Foreground("rollback", str(now.version))
    victim, phase, kills, again = r.choice(["dream", "dream", "helper", "both", "power"]), "-", 0, 0
    if at_a_moment(rollout, now.kind):
        kills = rollout.kill("both" if victim == "power" else victim) > 0
        if victim == "power":
            cut_power()
        if victim != "helper":
            rollout.end()
        phase = now.phase()
        if victim == "power":
            power_comes_back()
    code = rollout.end()
    if kills:
        again = resume()
    end = now.check()
    assert code not in (0, 3) or (end == "old") == (code == 3), (code, end, rollout.steps)
    note("foreground", now, phase, victim if kills else "nobody", end, rollout.steps)
    return kills + again


# --- Through the daemon -------------------------------------------------------------------------


def one_through_the_daemon():
    now = Round()
    request = {"do": "rollout", "promotion": now.promotion} if now.promotion else {"do": "rollback", "version": now.version}
    rollout = ByDaemon(**request)
    victim, phase, kills, again = r.choice(["dream", "dream", "helper", "both", "power"]), "-", 0, 0
    if at_a_moment(rollout, now.kind):
        kills = cut_power() > 0 if victim == "power" else rollout.kill(victim) > 0
        phase = now.phase()
        if victim == "power":
            power_comes_back()
            must("systemctl", "start", "dream.service")
        elif r.random() < 0.25:
            rollout.over.wait(r.uniform(0, 0.6))
            again = kill(*[pid for unit in r.choice([OURS, OURS[:1], OURS[1:]]) for pid in pids_of(unit)]) > 0
    wait("the daemon rests", daemon_rests, 90)
    rollout.close()
    end = now.check()
    note("daemon", now, phase, victim if kills else "nobody", end, rollout.steps)
    return kills + again


# --- The cases ----------------------------------------------------------------------------------


def loop(one, kills):
    global n_round
    done = 0
    while done < kills:
        n_round += 1
        try:
            done += one()
        except BaseException:
            print(f"# round {n_round}, SEED={SEED}\n" + "\n".join("# " + line for line in journal(80).splitlines()), flush=True)
            raise


def a_rollout_that_nobody_kills_ends_by_itself():
    boot()
    for attempt in range(6):  # what is certain depends on the machine
        rollout = Foreground("rollout", new_promotion("whole", level=3), "--foreground")
        code = rollout.end()
        assert code in (0, 3), (code, rollout.steps)
        if code == 0:
            break
    print("\n".join("# " + step for step in rollout.steps), flush=True)
    newest = records("baseline")[-1]
    assert code == 0 and newest["params"] == {"mode": "1", "level": "3"}, (code, rollout.steps, newest)
    assert running() == values_of(newest["params"]), running()


def killed_again_while_it_goes_back_it_goes_to_what_was():
    now = Round()
    now.new, now.promotion = {**now.old, "mode": "3"}, new_promotion("quick", mode=3)
    rollout = Foreground("rollout", now.promotion, "--foreground")
    assert rollout.wait_for(lambda: any("taking it back" in step for step in rollout.steps)), rollout.steps
    for again in range(3):
        assert rollout.kill("dream")
        rollout.end()
        rollout = Foreground("rollout", "--resume")
        assert rollout.wait_for(lambda: any("taking it back" in step for step in rollout.steps)), rollout.steps
    assert rollout.end() == 3, rollout.steps
    assert now.check() == "old" and len(records("baseline")) == len(now.versions), now.tell()


def killed_in_the_foreground_production_is_whole():
    loop(one_in_the_foreground, KILLS // 2)


def killed_in_the_daemon_production_is_whole():
    must("systemctl", "start", "dream.service")
    loop(one_through_the_daemon, KILLS - KILLS // 2)


def how_it_ended():
    print(f"# SEED={SEED}, {n_round} rounds\n# {'how':<12}{'what':<8}{'phase':<12}{'killed':<10}{'ended':<8}times")
    for (how, kind, phase, victim, end), n in sorted(table.items()):
        print(f"# {how:<12}{kind:<8}{phase:<12}{victim:<10}{end:<8}{n}")
    assert sum(table.values()) > 0


run_cases([a_rollout_that_nobody_kills_ends_by_itself, killed_again_while_it_goes_back_it_goes_to_what_was,
           killed_in_the_foreground_production_is_whole,
           killed_in_the_daemon_production_is_whole, how_it_ended])

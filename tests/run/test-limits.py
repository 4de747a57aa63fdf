#!/usr/bin/python3
"""What bounds a run: budgets and deadlines, back-off, rotation, cycles, signals; and its exit codes."""
import datetime
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Box, ROOT, example, run_cases, wait_for_text

PROBE = f"[sh, {ROOT}/tests/run/probe.sh]"
QUICK = f"{{kind: command, command: {PROBE}, applies: true}}"
BROKEN = '{kind: command, command: [sh, -c, "echo nonsense"], applies: true}'
DOC = """
version: 1
run: {scheduling: %s}
experiments:
"""


def experiment(name, evaluator=QUICK, space="{a: {min: 1, max: 30}}", budget="{max_candidates: 4, max_generations: 1}",
               enabled="true"):
    return f"""
  - name: {name}
    enabled: {enabled}
    search_space: {space}
    baseline: {{a: 1}}
    evaluator: {evaluator}
    budget: {budget}
    gpu: GPU-{name}
    objectives: {{latency_ms: {{goal: minimize, worst: 1000, best: 0, weight: 1}}}}
    confirm: {{pairs: 3, min_pairs: 3, finalists: 1, ablation: false}}
"""


def document(*experiments, scheduling="{}"):
    return DOC % scheduling + "".join(experiments)


def run(box, *args, **more):
    return box.run("--logdir", box.dir, "--log-json", *args, env=box.env(SPANS="/dev/null", **more))


def events(box, kind):
    with open(os.path.join(box.dir, "runner.log")) as f:
        return [e for e in map(json.loads, f) if e["event"] == kind]


def at(event):
    return datetime.datetime.fromisoformat(event["at"].replace("Z", "+00:00")).timestamp()


def trials(box):
    return box.json("trials", "-c", box.config, "--json")["trials"]


# --- Budgets and deadlines ------------------------------------------------------------------------------------------


def what_does_not_fit_into_the_time_of_an_epoch_carries_over_and_nothing_else_changes():
    slow = f'{{kind: command, command: [sh, -c, "sleep $PACE; exec sh {ROOT}/tests/run/probe.sh"], applies: true}}'
    config = document(experiment("paced", slow, "{a: {min: 1, max: 9, step: 4}}",
                                 "{wallclock_sec: 1, max_candidates: 3, max_generations: 1}"))
    config = config.replace("baseline: {a: 1}", "baseline: {a: 9}")
    with Box(config) as box, Box(config.replace("wallclock_sec: 1,", "wallclock_sec: 60,")) as whole:
        done = run(box, PACE="0.3")
        assert done.code == 3 and "the rest carries over" in done.out, done
        first = len(trials(box))
        assert 3 <= first < 15, f"{first} trials of 0.3 s fitted into 1 s"
        # Two epochs do on an idle machine.
        done = run(box, "--epochs-per-cycle", "20", PACE="0")
        assert done.code == 0, done
        assert run(whole, PACE="0").code == 0
        assert [t["epoch"] for t in trials(box)][first - 1:first + 1] == [1, 2]
        assert [t for t in box.trials() if t[2] == 1] == [t for t in whole.trials() if t[2] == 1]
        assert box.result() == whole.result()


def a_trial_past_its_deadline_is_a_timeout_and_the_run_goes_on_without_its_processes():
    config = document(experiment("hanging", "{kind: command, command: [sh, hang.sh], applies: true}", "{a: [1, 2, 3]}",
                                 "{trial_timeout_sec: 1, max_candidates: 3}"))
    with Box(config) as box:
        with open(os.path.join(box.dir, "hang.sh"), "w") as f:
            f.write('request=$(cat)\n'
                    'case $request in *\'"a": 2\'*) sleep 300 & echo $! >>"$PIDS"; wait ;; esac\n'
                    f'printf "%s" "$request" | sh {ROOT}/tests/run/probe.sh\n')
        pids = os.path.join(box.dir, "pids")
        done = run(box, PIDS=pids)
        assert done.code == 3, done
        ended = {t["params"]["a"]: t["measurement"]["status"] for t in trials(box) if t["purpose"] == "search"}
        assert ended == {1: "ok", 2: "timeout", 3: "ok"}, ended
        for pid in open(pids).read().split():
            assert not os.path.exists(f"/proc/{pid}"), f"process {pid} is still there"


def no_generation_has_more_candidates_and_no_evolution_more_generations_than_the_budget():
    config = document(experiment("bounded", budget="{max_candidates: 5, max_generations: 2}"))
    with Box(config) as box:
        done = run(box)
        found = [t["generation"] for t in trials(box) if t["purpose"] == "search"]
        assert set(found) == {0, 1}, (found, done)
        assert found.count(0) == 5 and 1 <= found.count(1) <= 5, found
        assert "all generations are done" in done.out, done


# --- Rotation -------------------------------------------------------------------------------------------------------


def experiments_take_turns_in_the_order_of_the_file_and_disabled_ones_do_not():
    config = document(experiment("one"), experiment("off", enabled="false"), experiment("two"), experiment("three"))
    with Box(config) as box:
        run(box, "--epochs-per-cycle", "2")
        turns = [(e["experiment"], e["epoch"]) for e in events(box, "epoch.begin")]
        assert turns == [(n, k) for k in (1, 2) for n in ("one", "two", "three")], turns


def one_experiment_can_be_run_alone_even_when_it_is_disabled():
    with Box(document(experiment("one"), experiment("off", enabled="false"))) as box:
        run(box, "--experiment", "off")
        assert {e["experiment"] for e in events(box, "epoch.begin")} == {"off"}


def an_experiment_that_failed_is_left_alone_for_a_while_and_the_others_go_on():
    with Box(document(experiment("sound"))) as box:
        run(box)
        backoff_s = 1.2 + 4 * (at(events(box, "epoch.end")[0]) - at(events(box, "epoch.begin")[0]))
    config = document(experiment("broken", BROKEN), experiment("sound"),
                      scheduling=f"{{backoff_on_failure_sec: {backoff_s:.3f}}}")
    with Box(config) as box:
        run(box, "--epochs-per-cycle", "2")
        begins, ends = events(box, "epoch.begin"), events(box, "epoch.end")
        assert [e["experiment"] for e in begins] == ["broken", "sound", "sound", "broken"], begins
        assert at(begins[3]) - at(ends[0]) >= backoff_s - 0.05, (ends[0], begins[3])
        assert at(begins[2]) - at(ends[0]) < backoff_s, "the sound one waited too"


def cycles_follow_each_other_after_a_rest():
    with Box(document(experiment("one"))) as box:
        run(box, "--cycles", "2", "--sleep-between-cycles", "400 ms")
        begins, ends = events(box, "epoch.begin"), events(box, "epoch.end")
        assert [e["epoch"] for e in begins] == [1, 2], begins
        assert at(begins[1]) - at(ends[0]) >= 0.35, (ends, begins)


def as_many_experiments_run_at_once_as_allowed_and_their_results_are_the_same():
    names = ("one", "two", "three")
    config = document(*map(experiment, names))
    with Box(config) as alone, Box(config) as together:
        run(alone)
        run(together, "--max-parallel", "2")
        assert sorted(alone.trials()) == sorted(together.trials())
        assert alone.result() == together.result()
        seqs = {n: [t["seq"] for t in trials(together) if t["experiment"] == n] for n in names}
        assert min(seqs["two"]) < max(seqs["one"]), "the second began when the first had ended"
        assert min(seqs["three"]) > min(max(seqs["one"]), max(seqs["two"])), "three ran at once"
        together.verify()


# --- Signals and exit codes -----------------------------------------------------------------------------------------


def asked_to_stop_in_the_middle_of_a_trial_it_ends_with_4_and_leaves_nothing_behind():
    hangs = '{kind: command, command: [sh, -c, "sleep 300 & echo $! >>$PIDS; echo; wait"], applies: true}'
    with Box(document(experiment("hanging", hangs))) as box:
        pids = os.path.join(box.dir, "pids")
        p = box.start("run", "-c", box.config, env=box.env(PIDS=pids))
        child = int(wait_for_text(pids))
        p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=100)
        assert p.returncode == 4, (out, err)
        assert b"the same command goes on from here" in out + err, (out, err)
        assert not os.path.exists(f"/proc/{child}"), "the evaluator's child is still there"
        box.verify()


def the_exit_code_says_how_it_ended():
    flat = '{kind: command, command: [sh, -c, "cat >/dev/null; echo \'{\\"status\\": \\"ok\\", \\"metrics\\": {}}\'"]}'
    for code, config, args in (
            (0, example("rtx3060.yaml"), ()),
            (2, example("rtx3060.yaml"), ("--no-such-option",)),
            (2, example("rtx3060.yaml"), ("--experiment", "nobody")),
            (2, "version: 1\nexperiments: [{nmae: x}]\n", ()),
            (3, document(experiment("flat", flat)), ())):
        with Box(config) as box:
            done = box.run(*args)
            assert done.code == code, (args, done)
            assert bool(done.err.strip()) == (code == 2), done
    with Box(example("rtx3060.yaml")) as box:
        with open(os.path.join(box.dir, "state"), "w"):
            pass  # a file where a folder has to be
        done = box.run()
        assert done.code == 1 and done.err.count("\n") == 1, done


run_cases([f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == "__main__"
           and f not in (experiment, document, run, events, at, trials)])

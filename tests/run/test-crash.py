#!/usr/bin/python3
"""`kill -9` at any moment, then the same command: no trial lost, none counted twice, the same final result.

The number of kills and the seed come from the environment (KILLS, SEED), so that a failure can be replayed and the
long run of `make soak` is the same code."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Box, ROOT, example, run_cases, wait_for_text

KILLS = int(os.environ.get("KILLS", "6"))
SEED = int(os.environ.get("SEED", "1"))


def interrupted(config, rng, whole_s, kills):
    """A run that is killed `kills` times and then let go to its end: its trials and its result."""
    with Box(config) as box:
        for _ in range(kills):
            p = box.start("run", "-c", box.config)
            time.sleep(rng.uniform(0, whole_s))
            p.kill()
            p.communicate()
            if os.path.exists(box.artifacts() + "/winners"):
                break  # it was done before we were
            if os.path.exists(box.store):
                box.verify(may_be_empty=True)
        if not os.path.exists(box.artifacts() + "/winners"):
            done = box.run()
            assert done.code == 0, done
        elif box.dream("run", "-c", box.config).code != 0:
            raise AssertionError("the run after the last kill failed")
        box.verify()
        return [t for t in box.trials() if t[2] == 1], box.result()


def first_difference(whole, got):
    at = next((i for i, (a, b) in enumerate(zip(whole, got)) if a != b), min(len(whole), len(got)))
    return f"{len(whole)} and {len(got)}, at {at}:\n{whole[at:at + 2]}\n{got[at:at + 2]}"


def killed_runs_end_like_whole_ones(name):
    config = example(name)
    with Box(config) as box:
        began = time.monotonic()
        assert box.run().code == 0
        whole_s = time.monotonic() - began
        trials, result = [t for t in box.trials() if t[2] == 1], box.result()
    done = 0
    round_number = 0
    while done < KILLS:
        seed = SEED * 1000 + round_number
        rng = random.Random(seed)
        kills = min(rng.randint(1, 4), KILLS - done)
        print(f"# {name}: seed {seed}, {kills} kills", flush=True)
        got_trials, got_result = interrupted(config, rng, whole_s, kills)
        assert got_trials == trials, f"seed {seed}: other trials:\n{first_difference(trials, got_trials)}"
        assert got_result == result, f"seed {seed}: another result:\n{result}\n{got_result}"
        done += kills
        round_number += 1


def killed_at_random_moments_the_small_box_ends_the_same():
    killed_runs_end_like_whole_ones("rtx3060.yaml")


def killed_at_random_moments_the_large_box_ends_the_same():
    killed_runs_end_like_whole_ones("rtx4090.yaml")


def killed_while_several_experiments_run_at_once_none_of_them_ends_otherwise():
    small = example("rtx3060.yaml")
    head, one = small.split("experiments:\n")
    config = head + "experiments:\n" + "".join(one.replace("spica_gpu_allocation", n) for n in ("one", "two", "three"))
    with Box(config) as box:
        began = time.monotonic()
        assert box.run("--max-parallel", "2").code == 0
        whole_s = time.monotonic() - began
        trials, result = sorted(t for t in box.trials() if t[2] == 1), box.result()
        assert len(result) == 3, result
    done = 0
    while done < max(4, KILLS // 4):
        rng = random.Random(SEED * 1000 + done)
        with Box(config) as box:
            for _ in range(3):
                p = box.start("run", "-c", box.config, "--max-parallel", "2")
                time.sleep(rng.uniform(0, whole_s))
                p.kill()
                p.communicate()
                done += 1
            again = box.run("--max-parallel", "2")
            assert again.code == 0, again
            box.verify()
            assert sorted(t for t in box.trials() if t[2] == 1) == trials, f"after {done} kills: other trials"
            assert box.result() == result, f"after {done} kills: another result"


def killed_during_a_trial_in_a_child_process_the_next_run_has_its_gpu_at_once():
    """The evaluator, deaf to polite signals and in a session of its own, must not keep the GPU from the next run."""
    config = """
version: 1
experiments:
  - name: leased
    search_space: {a: [1, 2, 3]}
    baseline: {a: 3}
    evaluator: {kind: command, command: [sh, once.sh], applies: true}
    budget: {allow_gpu: true, max_candidates: 3}
    gpu: GPU-test-leased
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
    confirm: {pairs: 3, min_pairs: 3}
"""
    with Box(config) as box:
        pids = os.path.join(box.dir, "pids")
        with open(os.path.join(box.dir, "once.sh"), "w") as f:
            f.write('if ! test -e "$PIDS"; then trap "" TERM HUP INT\n'
                    'setsid sleep 300 & echo "$! $$" >"$PIDS.new"; mv "$PIDS.new" "$PIDS"; wait; fi\n'
                    f'exec sh {ROOT}/tests/run/probe.sh\n')
        env = box.env(PIDS=pids, SPANS="/dev/null")
        p = box.start("run", "-c", box.config, env=env)
        children = wait_for_text(pids).split()
        p.kill()
        p.communicate()
        done = box.run(env=env, timeout=60)
        assert done.code == 0, done
        for pid in children:
            assert not os.path.exists(f"/proc/{pid}"), f"process {pid} of the killed run is still there"
        assert len([t for t in box.trials() if t[1] == "search"]) == 3
        box.verify()


run_cases([killed_at_random_moments_the_small_box_ends_the_same,
           killed_at_random_moments_the_large_box_ends_the_same,
           killed_while_several_experiments_run_at_once_none_of_them_ends_otherwise,
           killed_during_a_trial_in_a_child_process_the_next_run_has_its_gpu_at_once])

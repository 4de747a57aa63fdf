#!/usr/bin/python3
"""`kill -9` at any moment, then the same command: no trial lost, none counted twice, the same final result.

The number of kills and the seed come from the environment (KILLS, SEED), so that a failure can be replayed and the
long run of `make soak` is the same code."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Box, example, run_cases

KILLS = int(os.environ.get("KILLS", "12"))
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
                box.verify()
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


run_cases([killed_at_random_moments_the_small_box_ends_the_same,
           killed_at_random_moments_the_large_box_ends_the_same])

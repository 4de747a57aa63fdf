#!/usr/bin/env python3
"""Without a memory model, what cannot start is learned from starts; also by a run that was killed in between."""
import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../run")]
from tap import Box, run_cases  # noqa: E402
from through import through_processes  # noqa: E402


def asked(box):
    rows = box.json("trials", "-c", box.config, "--json", "-p", "search")["trials"]
    return [(t["ask"], t["origin"], t["params"]["share"], t["measurement"]["status"]) for t in rows]


def what_cannot_start_is_learned_from_starts_and_not_started_again():
    with Box(through_processes("learn.yaml", HERE)) as box:
        done = box.run()
        assert done.code in (0, 3), done  # with a winner or without
        lines = done.out.splitlines()
        learned = [i for i, line in enumerate(lines) if line.startswith("learned from its start: Qwen2.5-7B-Instruct-AWQ takes 5.5")]
        assert len(learned) == 1, done
        assert any("start_failed" in line for line in lines[:learned[0]]), done
        rows = asked(box)
        never = {0.30, 0.32, 0.34, 0.36, 0.38, 0.40, 0.42, 0.44, 0.45, 0.46} - {share for _, _, share, _ in rows}
        assert never, f"every candidate was started: {rows}"
        assert {s for _, _, share, s in rows if share > 0.5} == {"ok"}, rows


def a_run_that_is_killed_asks_what_it_would_have_asked():
    text = through_processes("learn.yaml", HERE)
    # One generation: how long answers took decides nothing about what is asked.
    text, n = re.subn("max_candidates: 5, max_generations: 4", "max_candidates: 9, max_generations: 1", text)
    assert n == 1
    with Box(text) as whole, Box(text) as cut:
        assert whole.run().code in (0, 3)
        want = asked(whole)
        assert len(want) > 6 and len({status for *_, status in want}) == 2, want
        for after in (2, len(want) // 2, len(want) - 1):
            p = cut.start("run", "-c", cut.config)
            until = time.monotonic() + 60
            while p.poll() is None and time.monotonic() < until:
                if os.path.exists(cut.store) and len(asked_so_far(cut)) >= after:
                    break
                time.sleep(0.05)
            p.kill()
            p.communicate()
        done = cut.run()
        assert done.code in (0, 3), done
        assert asked(cut) == want, (asked(cut), want)
        cut.verify()


def asked_so_far(box):
    done = box.dream("trials", "-c", box.config, "--json", "-p", "search")
    return json.loads(done.out)["trials"] if done.code == 0 and done.out else []


run_cases([what_cannot_start_is_learned_from_starts_and_not_started_again,
           a_run_that_is_killed_asks_what_it_would_have_asked])

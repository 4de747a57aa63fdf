#!/usr/bin/env python3
"""How the services of a trial start: one after another, and each once, whatever becomes of it."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../run"))
from tap import DREAM, ROOT, run_cases  # noqa: E402

CONFIG = """version: 1
run: {{seed: 7, artifact_root: artifacts, logdir: logs}}
experiments:
  - name: starts
    search_space: {{tuned: {{values: [1, 2]}}}}
    baseline: {{tuned: 1}}
    evaluator: {{kind: gpu_allocation, as: processes, alone: false}}
    search_services: all
    services: {services}
    objectives:
      start_s: {{goal: minimize, weight: 1, worst: 60, tolerance: 0.10}}
    budget: {{wallclock_sec: 120, trial_timeout_sec: 60, max_candidates: 2, max_generations: 1, allow_gpu: false}}
"""
# Each writes down when it began and when it was ready; in between it takes a while, as a model server does.
SERVER = ("import sys,time\nf=open('starts.txt','a',buffering=1)\nf.write('begins '+sys.argv[1]+'\\n')\ntime.sleep(.3)\n"
          "f.write('is ready '+sys.argv[1]+'\\n')\nprint('holding',flush=True)\ntime.sleep(100)\n")
FAILS = "f=open('starts.txt','a')\nf.write('begins\\n')\nf.close()\nraise SystemExit(3)\n"


def evaluate(folder, services):
    for name in ("run", "state"):
        os.mkdir(os.path.join(folder, name), 0o700)
    with open(os.path.join(folder, "dream.yaml"), "w") as f:
        f.write(CONFIG.format(services=json.dumps(services)))
    env = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"), XDG_RUNTIME_DIR=os.path.join(folder, "run"))
    env.pop("DREAM_STATE", None)
    done = subprocess.run([DREAM, "eval", "--json", "--all-services", "dream.yaml"], cwd=folder, env=env,
                          capture_output=True, text=True, timeout=120)
    with open(os.path.join(folder, "starts.txt")) as f:
        return f.read().splitlines(), done.stdout + done.stderr


def service(script, name):
    return {"kind": "command", "command": [sys.executable, "-u", "-c", script, name], "ready_text": "holding",
            "ready_timeout": "20 s", "stop_timeout": "2 s"}


def each_service_is_ready_before_the_next_one_begins():
    with tempfile.TemporaryDirectory() as folder:
        lines, said = evaluate(folder, {name: service(SERVER, name) for name in ("one", "two", "three")})
        wanted = [f"{what} {name}" for name in ("one", "two", "three") for what in ("begins", "is ready")]
        assert lines == wanted, f"{lines} {said}"


def a_candidate_that_fails_is_not_started_again():
    with tempfile.TemporaryDirectory() as folder:
        lines, said = evaluate(folder, {"one": service(FAILS, "one")})
        assert lines == ["begins"], f"{lines} {said}"
        assert '"start_failed"' in said, said


def the_unit_of_trials_is_not_restarted_either():
    with open(os.path.join(ROOT, "data/dream-trial@.service")) as f:
        lines = [line.strip() for line in f]
    assert [line for line in lines if line.startswith("Restart=")] == ["Restart=no"], lines


if __name__ == "__main__":
    run_cases([each_service_is_ready_before_the_next_one_begins, a_candidate_that_fails_is_not_started_again,
               the_unit_of_trials_is_not_restarted_either])

"""A few lines of TAP and of running `dream`, for the whole-program tests. Every case is a function whose name is a
sentence; a case that returns a text is skipped for that reason."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback


def run_cases(cases):
    wanted = [c for c in cases if len(sys.argv) < 2 or c.__name__ in sys.argv[1:]]
    print(f"1..{len(wanted)}", flush=True)
    failed = 0
    for number, case in enumerate(wanted, 1):
        name = case.__name__
        try:
            skip = case()
            print(f"ok {number} {name}" + (f" # SKIP {skip}" if skip else ""), flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)


def wait_for_text(path, seconds=30):
    """The whole lines of a file that another process is about to write."""
    deadline = time.monotonic() + seconds
    while True:
        text = open(path).read() if os.path.exists(path) else ""
        if text.endswith("\n"):
            return text
        assert time.monotonic() < deadline, f"nothing was written to {path}"
        time.sleep(0.02)


class Box:
    """A home of its own for one run of the program: configuration, state, artifacts, logs, leases."""

    def __init__(self, config, name="dream.yaml", under=None):
        self.dir = tempfile.mkdtemp(prefix="dream-test-", dir=under)
        self.config = os.path.join(self.dir, name)
        with open(self.config, "w") as f:
            f.write(config)
        self.store = os.path.join(self.dir, "state/dream/dream.db")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["chmod", "-R", "u+w", self.dir], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def env(self, **more):
        env = dict(os.environ)
        run = os.path.join(self.dir, "run")
        os.makedirs(run, mode=0o700, exist_ok=True)
        env.update(XDG_STATE_HOME=os.path.join(self.dir, "state"), XDG_RUNTIME_DIR=run,
                   XDG_CONFIG_HOME=os.path.join(self.dir, "config"), HOME=self.dir)
        env.update({k: str(v) for k, v in more.items()})
        return env

    def start(self, *args, env=None, **kw):
        return subprocess.Popen([DREAM, *args], cwd=self.dir, env=env or self.env(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def dream(self, *args, env=None, timeout=300, **kw):
        p = self.start(*args, env=env, **kw)
        out, err = p.communicate(timeout=timeout)
        return Done(p.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    def run(self, *args, **kw):
        return self.dream("run", "-c", self.config, *args, **kw)

    def json(self, *args):
        done = self.dream(*args)
        assert done.code == 0, f"dream {' '.join(args)}: {done}"
        return json.loads(done.out)

    def trials(self):
        """What must not depend on interruptions: no times, no seq of records that came in between."""
        rows = self.json("trials", "-c", self.config, "--json")
        rows = rows["trials"] if isinstance(rows, dict) else rows
        return [(t["experiment"], t["purpose"], t["evolution"], t["ask"], t["origin"],
                 json.dumps(t["params"], sort_keys=True), t["workload"], t["measurement"]["status"], t["fitness"],
                 json.dumps(t["confirm"], sort_keys=True)) for t in rows]

    def result(self):
        """The final result of the first evolution of each experiment: who won by how much, and what is proposed."""
        done = self.dream("promotions", "-c", self.config, "--json")
        if not os.path.exists(self.store) or "nothing was run with it yet" in done.err:
            return {}  # it ended before it kept anything
        assert done.code == 0, f"dream promotions: {done}"
        found = {}
        for p in json.loads(done.out)["promotions"]:
            if p["evolution"] == 1:
                changes = [(c["parameter"], c["from"], c["to"], c["effect"]) for c in p["changes"]]
                found[p["experiment"]] = (p["winner"], p["baseline"], p["fitness_gain"], changes)
        return found

    def artifacts(self):
        return os.path.join(self.dir, "artifacts/dream")

    def verify(self, may_be_empty=False):
        """The chain is sound. A program killed while it made the store may leave an empty one: nothing to verify yet."""
        done = self.dream("lineage", "verify", "-c", self.config)
        empty = may_be_empty and done.code == 1 and "nothing was run with it yet" in done.err
        assert done.code == 0 or empty, f"the chain does not verify: {done}"


class Done:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}"


DREAM = os.environ.get("DREAM", "dream")
ROOT = os.environ.get("DREAM_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def example(name):
    """An example configuration with its relative paths made absolute."""
    with open(os.path.join(ROOT, "examples", name)) as f:
        return f.read().replace("../boxes/", os.path.join(ROOT, "boxes/"))


def with_scenario(config, scenario):
    """The configuration with a preset instead of its own objectives and constraints."""
    config = re.sub(r"\n    (?:objectives|constraints|scenario):[^\n]*(?:\n      [^\n]*|\n(?=\n      ))*", "", config)
    return config.replace("    evaluator:", f"    scenario: {scenario}\n    evaluator:", 1)

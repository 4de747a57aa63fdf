"""A few lines of TAP and of running `dream`. Every case is a function whose name is a sentence; one that returns a text
is skipped for that reason."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

DREAM = os.environ["DREAM"]
SOURCE = pathlib.Path(os.environ["DREAM_SOURCE"])
GOLDEN = SOURCE / "tests" / "golden"


def run_cases(cases):
    wanted = [c for c in cases if len(sys.argv) < 2 or c.__name__ in sys.argv[1:]]
    print(f"1..{len(wanted)}", flush=True)
    failed = 0
    for number, case in enumerate(wanted, 1):
        try:
            skip = case()
            print(f"ok {number} {case.__name__}" + (f" # SKIP {skip}" if skip else ""), flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} {case.__name__}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)


class Done:
    def __init__(self, p):
        self.code, self.out, self.err = p.returncode, p.stdout, p.stderr

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}"


class Home:
    """An empty machine: own state, configuration and runtime folders, gone afterwards."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="dream-test-")
        self.path = pathlib.Path(self.folder.name)
        (self.path / "run").mkdir(mode=0o700)
        self.env = dict(os.environ, HOME=self.folder.name, XDG_STATE_HOME=str(self.path / "state"),
                        XDG_CONFIG_HOME=str(self.path / "config"), XDG_RUNTIME_DIR=str(self.path / "run"))

    def __enter__(self):
        return self

    def processes(self):
        """The pid and arguments of every process that was started for this home, seen from the kernel."""
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    argv = (entry / "cmdline").read_text(errors="replace").split("\0")
                except OSError:
                    continue
                if any(self.folder.name in arg for arg in argv):
                    yield int(entry.name), argv

    def __exit__(self, *_):
        """Whoever was killed leaves others that write into the home until they are gone, too."""
        end = time.monotonic() + 60
        while left := list(self.processes()):
            if time.monotonic() > end:
                raise AssertionError(f"they do not end: {left}")
            time.sleep(0.02)
        self.folder.cleanup()

    def dream(self, *args, **kw):
        return Done(subprocess.run([DREAM, *map(str, args)], cwd=self.path, env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, **kw))

    def json(self, *args):
        done = self.dream(*args, "--json")
        assert done.code == 0, done
        return json.loads(done.out)


def dream(*args):
    with Home() as home:
        return home.dream(*args)


def golden(name, text):
    """Compares with tests/golden/NAME; `UPDATE_GOLDEN=1 meson test --suite golden` writes it instead."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    want = path.read_text()
    assert text == want, f"{name} differs:\n--- want\n{want}\n--- got\n{text}"

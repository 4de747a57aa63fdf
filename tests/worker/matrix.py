"""One trial after another through `dream eval`, each on a server that is started wrong or ill-treated, and the check that
nothing is left of it. The cases are those of test-matrix.py; the same ones for every server program."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../run"))
from tap import DREAM, ROOT  # noqa: E402

NVML = os.environ.get("DREAM_NVML", "")  # the folder of the twin's libnvidia-ml.so.1
BOX = os.path.join(ROOT, "boxes/rtx3060.yaml")
GPU = "GPU-3060f0e1-5c1a-4d2e-9b7a-12622168064a"
FAULTY = [sys.executable, os.path.join(HERE, "faulty.py")]

CONFIG = """version: 1
run: {{seed: 7, artifact_root: artifacts, logdir: logs}}
experiments:
  - name: matrix
    {gpu}
    search_space: {{tuned: {{values: [1, 2]}}}}
    baseline: {{tuned: 1}}
    evaluator: {evaluator}
    services: {services}
    objectives:
      start_s: {{goal: minimize, weight: 1, worst: 60, tolerance: 0.10}}
    workloads:
      steady: {load}
      bursty: {bursty}
    budget: {{wallclock_sec: 120, trial_timeout_sec: {deadline}, max_candidates: 2, max_generations: 1, allow_gpu: {allow}}}
"""


class Program:
    """A server under test: how it is started well, and what can be done to its command."""

    def __init__(self, name, kind, role, gpu, command, **more):
        self.name, self.kind, self.role, self.gpu, self.command = name, kind, role, gpu, command
        self.model_at = more.get("model_at")  # where in the command the model is
        self.model_is_file = more.get("model_is_file", False)
        self.has_port = kind != "command"
        self.env = more.get("env", {})
        self.clips = more.get("clips")
        self.service = more.get("service", {})
        self.is_twin = more.get("is_twin", False)

    def with_model(self, model):
        words = list(self.command)
        words[self.model_at] = model
        return words


def processes(mark):
    """Those that have the mark in their environment: pid to command line. Zombies do not count."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark.encode() not in f.read():
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode("utf-8", "replace").split("\0")[:-1]
            with open(f"/proc/{pid}/stat") as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found[int(pid)] = words
    return found


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(c) for c in f.read().split()]
    except OSError:
        return []


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Trial:
    """One `dream eval` in a folder, with a card and an environment of its own."""

    def __init__(self, program, case):
        self.program, self.case = program, case
        self.mark = f"MATRIX_{uuid.uuid4().hex}"
        self.dir = tempfile.mkdtemp(prefix="dream-matrix-")
        self.ports, self.foreign_ports, self.others = set(), set(), []
        self.out = self.err = ""
        self.result = self.process = None
        for name in ("tmp", "run", "state"):
            os.mkdir(self.path(name), 0o700)
        self.env = dict(os.environ, XDG_STATE_HOME=self.path("state"), XDG_RUNTIME_DIR=self.path("run"),
                        XDG_CONFIG_HOME=self.path("config"), HOME=self.dir, TMPDIR=self.path("tmp"), TWIN_BOX=BOX,
                        TWIN_GPU=self.path("card"), TWIN_SPEED="50", OMP_NUM_THREADS="1")
        self.env.pop("DREAM_STATE", None)
        if program.gpu:
            self.env["LD_LIBRARY_PATH"] = NVML
            self.twin("--show")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in [*self.others, *([self.process] if self.process else [])]:
            if p.poll() is None:
                p.kill()
            p.wait()
        for pid in processes(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def twin(self, *args):
        done = subprocess.run([DREAM, "twin", "gpu", *args], env=self.env, check=True, capture_output=True, timeout=30)
        return json.loads(done.stdout) if "--show" in args else None

    def beside(self, *args):
        """Another program of the twin on the same card; not the trial's."""
        p = subprocess.Popen([DREAM, "twin", *args], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        self.others.append(p)
        return p

    # --- The configuration ---

    def services(self, command, more):
        p = self.program
        s = {"kind": p.kind, "command": command, "params": {"tuned": "tuned"}, "places": {"tuned": {"env": "TUNED"}},
             "ready_timeout": "20 s", "stop_timeout": "2 s", **p.service, **more}
        return {"served": s}

    def write(self, command, service=None, evaluator=None, deadline=40, requests=None):
        p = self.program
        stream = {"arrivals": "closed", "users": 2, "warmup": 0}
        if p.role == "stt":
            load = {"stt": {**stream, "requests": requests or 6, "clip_ms": {"median": 1000, "sigma": 0.1}}}
        else:
            load = {"llm": {**stream, "requests": requests or 12, "prompt_tokens": {"median": 16, "sigma": 0.1},
                            "output_tokens": {"median": 12, "sigma": 0.1}}, "capacity_max": 0}
        bursty = {k: v if k == "capacity_max" else {**v, "arrivals": "gamma", "rate": 1, "cv": 3} for k, v in load.items()}
        for name in ("llm", "stt"):
            bursty.get(name, {}).pop("users", None)
        ev = {"kind": "gpu_allocation", "as": "processes", "alone": False, "env": {"MATRIX": self.mark, **p.env},
              **({"clips": p.clips} if p.clips else {}), **(evaluator or {})}
        text = CONFIG.format(gpu=f"gpu: {GPU}" if p.gpu else "", evaluator=json.dumps(ev), load=json.dumps(load), bursty=json.dumps(bursty),
                             services=json.dumps(self.services(command, service or {})), deadline=deadline,
                             allow="true" if p.gpu else "false")
        with open(self.path("dream.yaml"), "w") as f:
            f.write(text)

    # --- The run ---

    def start(self, *options):
        self.began = time.monotonic()
        with open(self.path("stdout"), "wb") as out, open(self.path("stderr"), "wb") as err:
            self.process = subprocess.Popen([DREAM, "eval", "--json", *options, "-c", self.path("dream.yaml"), "tuned=2"],
                                            cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def look(self):
        """The services' processes now; their ports are remembered for the check afterwards."""
        found = processes(self.mark)
        for words in found.values():
            for flag, value in zip(words, words[1:]):
                if flag == "--port" and value.isdigit():
                    self.ports.add(int(value))
        return found

    def until(self, check, seconds=20):
        deadline = time.monotonic() + seconds
        while not (got := check()):
            ended = self.process.poll() is not None
            assert not ended, f"the trial ended too early: {self.said()}"
            assert time.monotonic() < deadline, f"it did not come to that: {self.look()}"
            time.sleep(0.02)
        return got

    def server(self):
        """The pid of the service's program, once it runs: the leader, which has its own session."""
        def found():
            all_of = self.look()
            worker = self.worker()
            for pid in sorted(all_of):
                try:
                    if os.getsid(pid) == pid and pid != worker and "worker" not in all_of[pid][1:2]:
                        return pid
                except OSError:
                    pass
            return None
        return self.until(found)

    def worker(self):
        for pid, words in processes(self.mark).items():
            if words[1:] == ["worker"] and any(c for c in children(pid)):
                return pid
        return None

    def busy(self):
        """The service listens and answers somebody: it is loaded."""
        self.server()
        def connected():
            self.look()
            return next((p for p in self.ports if self.established(p) > 0), None)
        port = self.until(connected)
        # Not the look whether it is ready, which is one connection: a load of two users.
        self.until(lambda: self.established(port) >= 2)

    @staticmethod
    def established(port):
        with open("/proc/net/tcp") as f:
            rows = [line.split() for line in f.readlines()[1:]]
        return sum(r[1].endswith(f":{port:04X}") and r[3] == "01" for r in rows)

    def said(self):
        texts = []
        for name in ("stdout", "stderr"):
            with open(self.path(name), errors="replace") as f:
                texts.append(f.read())
        self.out, self.err = texts
        return self.out[-2000:] + self.err[-2000:]

    def wait(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            self.look()
            assert time.monotonic() < deadline, f"the trial does not end: {self.look()} {self.said()}"
            time.sleep(0.05)
        self.ended = time.monotonic()
        self.said()
        if self.out.strip():
            self.result = json.loads(self.out)
        return self.result

    def measurement(self):
        assert self.result, f"no result: {self.said()}"
        return self.result["measurement"]

    # --- Nothing is left ---

    def left(self, seconds=0.0, files=True):
        """What is left of the trial, in words; "" for nothing. `seconds`: how long it may take, for a trial whose own
        process was killed."""
        deadline = time.monotonic() + seconds
        while (words := self.left_now(files)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return words

    def left_now(self, with_files=True):
        running = processes(self.mark)
        if running:
            return f"processes {running}"
        for port in self.ports:
            if listens(port) and port not in self.foreign_ports:
                return f"port {port} is still listened on"
        if self.program.gpu:
            ours = {p.pid for p in self.others}
            held = [p for p in self.twin("--show")["processes"] if p["pid"] not in ours]
            if held:
                return f"memory of the card: {held}"
        files = os.listdir(self.path("tmp")) if with_files else []
        return f"files {files}" if files else ""

    # --- Secrets ---

    def places_of(self, text):
        """Files of the trial's folder that have the text in them, those apart in which we wrote it ourselves."""
        found = []
        for folder, _, names in os.walk(self.dir):
            for name in names:
                path = os.path.join(folder, name)
                if name in ("dream.yaml", "token", "card"):
                    continue
                with open(path, "rb") as f:
                    if text.encode() in f.read():
                        found.append(path)
        return found


def matches(pattern, text):
    return re.search(pattern, text or "", re.I | re.S) is not None

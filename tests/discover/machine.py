"""A simulated card with servers on it, under the names of the real ones."""
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(os.environ["DREAM_SOURCE"]) / "tests" / "cli"))
from tap import DREAM, SOURCE, Home, run_cases  # noqa: E402, F401

MODEL = "Qwen2.5-7B-Instruct-AWQ"

# A program that the simulated one runs below, as a real server's workers do.
WRAPPER = """#!/usr/bin/python3
import signal, subprocess, sys
child = subprocess.Popen([{dream!r}, "twin", {program!r}, *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
sys.exit(abs(child.wait()))
"""


class Machine(Home):
    def __enter__(self):
        self.started = []
        self.bin = self.path / "bin"
        self.bin.mkdir()
        for name, program in {"vllm": "vllm", "whisper-server": "whisper"}.items():
            (self.bin / name).write_text(WRAPPER.format(dream=DREAM, program=program))
            (self.bin / name).chmod(0o755)
        self.env.update(LD_LIBRARY_PATH=os.environ["TWIN_FOLDER"], TWIN_GPU=str(self.path / "card"), TWIN_SPEED="50",
                        TWIN_BOX=str(SOURCE / "boxes/rtx3060.yaml"), TMPDIR=str(self.path), CUDA_DEVICE_ORDER="PCI_BUS_ID")
        return self

    def __exit__(self, *_):
        for p in self.started:
            p.terminate()
        for p in self.started:
            p.wait(20)
        super().__exit__()

    def start(self, name, *args):
        log = self.path / f"log-{len(self.started)}"
        with open(log, "wb") as out:
            p = subprocess.Popen([self.bin / name, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
                                 cwd=self.path)
        self.started.append(p)
        p.port = int(wait_for(log, r"(?:server 0 on|listening at) http://[^:]*:(\d+)", p)[1])
        return p

    def vllm(self, *args):
        return self.start("vllm", "serve", MODEL, "--gpu-memory-utilization", "0.5", "--max-model-len", "2048", "--enforce-eager",
                          "--port", "0", *args)

    def whisper(self, *args):
        return self.start("whisper-server", "--model", "small", "--port", "0", *args)


def wait_for(log, pattern, p, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found:
            return found
        assert p.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def narrow(text):
    for line in text.splitlines():
        assert len(line) <= 80, line

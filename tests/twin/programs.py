"""The twin's programs for tests: started for real on a card of their own, asked through sockets."""
import http.client
import io
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../run"))
from tap import DREAM, ROOT, run_cases  # noqa: F401

MODEL = "Qwen2.5-7B-Instruct-AWQ"


class Card:
    """A simulated box in a folder of its own."""

    def __init__(self, box="rtx3060", speed=50):
        self.dir = tempfile.mkdtemp(prefix="dream-twin-")
        self.speed = speed
        self.programs = []
        self.env = dict(os.environ, TWIN_BOX=os.path.join(ROOT, f"boxes/{box}.yaml"), TWIN_GPU=self.path("card"),
                        TWIN_SPEED=str(speed), TWIN_NOISE_SEED="1")

    def path(self, name):
        return os.path.join(self.dir, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.programs:
            if p.process.poll() is None:
                p.process.kill()
            p.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, *args, **env):
        p = Program(self, args, {**self.env, **env})
        self.programs.append(p)
        return p

    def vllm(self, *args, ready=True, **env):
        p = self.start("vllm", "serve", MODEL, "--port", "0", "--host", "127.0.0.1", *args, **env)
        return p.ready() if ready else p

    def whisper(self, *args, ready=True, **env):
        p = self.start("whisper", "--port", "0", *args, **env)
        return p.ready() if ready else p

    def neighbour(self, *args):
        p = self.start("gpu", *args)
        p.wait_for(r"holding \d+ bytes")
        return p

    def show(self):
        return json.loads(subprocess.run([DREAM, "twin", "gpu", "--show"], env=self.env, check=True,
                                         capture_output=True, timeout=60).stdout)

    def gpu(self, *args):
        subprocess.run([DREAM, "twin", "gpu", *args], env=self.env, check=True, timeout=60)

    def bytes_of(self, program):
        found = [p["used_bytes"] for p in self.show()["processes"] if p["pid"] == program.process.pid]
        return found[0] if found else 0


class Program:
    def __init__(self, card, args, env):
        self.card = card
        self.log_path = card.path(f"log-{len(card.programs)}")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([DREAM, "twin", *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=env, cwd=card.dir)
        self.port = None

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_for(self, pattern, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.log())
            if found:
                return found
            assert not ended, f"ended with {self.process.returncode}: {self.log()}"
            assert time.monotonic() < deadline, f"no {pattern} in: {self.log()}"
            time.sleep(0.01)

    def ready(self):
        self.port = int(self.wait_for(r"(?:server 0 on|listening at) http://[^:]*:(\d+)")[1])
        return self

    def end(self, seconds=60):
        self.process.wait(seconds)
        return self.process.returncode

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, headers=()):
        c = self.connect()
        if isinstance(body, dict):
            body = json.dumps(body)
        c.request(method, path, body, {"Content-Type": "application/json", **dict(headers)})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, text

    def json(self, method, path, body=None, headers=()):
        status, text = self.ask(method, path, body, headers)
        return status, json.loads(text)

    def complete(self, **body):
        return self.json("POST", "/v1/completions", {"model": MODEL, "prompt": "one two three", **body})

    def metric(self, name):
        text = self.ask("GET", "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if re.match(rf"vllm:{name}[{{ ]", line))


class Stream:
    """One stream, read event by event."""

    def __init__(self, program, path="/v1/completions", **body):
        self.connection = program.connect()
        asked = {"model": MODEL, "stream": True, **body}
        if path == "/v1/completions":
            asked.setdefault("prompt", "one two three")
        self.at = time.monotonic()
        self.connection.request("POST", path, json.dumps(asked), {"Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def next(self):
        """The next event's JSON, "[DONE]", or None at the end."""
        while True:
            line = self.response.readline()
            if not line:
                return None
            if line.startswith(b"data: "):
                text = line[6:].strip()
                return "[DONE]" if text == b"[DONE]" else json.loads(text)

    def all(self):
        events = []
        while (e := self.next()) is not None:
            events.append(e)
        self.close()
        return events

    def close(self):
        # Both: the response keeps the socket open otherwise.
        self.response.close()
        self.connection.close()


def wav(milliseconds, rate=16000):
    samples = bytes(2 * rate * milliseconds // 1000)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2,
                       16, b"data", len(samples))
    return head + samples


def multipart(clip, name="clip.wav", **fields):
    out = io.BytesIO()
    for key, value in fields.items():
        out.write(f'--BOUND\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode())
    if clip is not None:
        out.write(f'--BOUND\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                  "Content-Type: audio/wav\r\n\r\n".encode())
        out.write(clip + b"\r\n")
    out.write(b"--BOUND--\r\n")
    return out.getvalue()


def transcribe(program, clip, path="/inference", name="clip.wav", **fields):
    return program.ask("POST", path, multipart(clip, name, **fields),
                       {"Content-Type": "multipart/form-data; boundary=BOUND"})


def busy_port():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen()
    return s, s.getsockname()[1]


def median(values):
    return sorted(values)[len(values) // 2]

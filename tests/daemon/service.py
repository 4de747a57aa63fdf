"""A daemon that is started, asked and killed by a test."""
import json
import os
import select
import signal
import socket
import subprocess
import time

from tap import DREAM, SOURCE, Home

CONFIG = """version: 1
run:
  seed: 7
  store: {state}/dream.db
  artifact_root: {state}/artifacts
  logdir: {state}/logs
daemon:
{daemon}
experiments:
  - name: spica_gpu_allocation
    search_space:
      vllm_memory_util: {{values: [0.40, 0.45, 0.50, 0.55, 0.60]}}
      whisper_model_size: {{values: [tiny, base, small], ordered: true}}
    baseline: {{vllm_memory_util: 0.50, whisper_model_size: small}}
    budget: {{trial_timeout_sec: 3600}}
    evaluator: {{kind: twin, box: {source}/boxes/rtx3060.yaml}}
    services:
      judge:
        kind: vllm
        unit: judge.service
        url: http://127.0.0.1:9
        version: 0.11.0
        settings: {{model: Qwen2.5-7B-Instruct-AWQ, max_model_len: 2048, enforce_eager: true}}
        params: {{vllm_memory_util: gpu_memory_utilization}}
      voice:
        kind: whisper
        unit: kloros.service
        settings: {{engine: openai-whisper}}
        params: {{whisper_model_size: model_size}}
    rollout: {{approval: manual}}
"""


PATIENCE_S = 60  # a test's end, not a promise: a machine may have much else to do, and its disk too


def until(what, seconds=PATIENCE_S):
    """What `what` gives as soon as it gives something; a failure after the seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what.__name__}")


class Daemon(Home):
    def __init__(self, daemon="  probe_every: 0\n"):
        super().__init__()
        self.state = self.path / "state" / "dream"
        self.state.mkdir(parents=True)
        self.config = self.path / "dream.yaml"
        self.configure(daemon)
        self.socket = self.path / "run" / "dream" / "control.sock"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.path / "notify"))
        self.env["NOTIFY_SOCKET"] = str(self.path / "notify")
        self.env.pop("LISTEN_PID", None)
        self.process = None
        self.told = []
        self.unread = []

    def configure(self, daemon):
        self.config.write_text(CONFIG.format(state=self.state, source=SOURCE, daemon=daemon))

    def spawn(self, *args, **env):
        log = open(self.path / "stderr", "a")
        self.process = subprocess.Popen([DREAM, "daemon", "--user", "--config", self.config, *args], cwd=self.path,
                                        env=dict(self.env, **env), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        return self

    def start(self, *args, **env):
        self.spawn(*args, **env)
        self.wait_told("READY=1")
        return self

    def wait_told(self, what):
        """Reads what systemd is told until a message has the line; gives all its lines."""
        end = time.monotonic() + PATIENCE_S
        while True:
            self.listen()
            while self.unread:
                lines = self.unread.pop(0)
                self.told += lines
                if any(line.startswith(what) for line in lines):
                    return lines
            left = end - time.monotonic()
            if left < 0 or not select.select([self.notify], [], [], left)[0]:
                raise AssertionError(f"{what} was not told: {self.told}\n{self.said()}")

    def listen(self):
        """Takes what systemd was told. A daemon stands still when nobody does: the kernel keeps ten messages."""
        try:
            while True:
                self.unread.append(self.notify.recv(4096, socket.MSG_DONTWAIT).decode().splitlines())
        except BlockingIOError:
            pass

    def forget_told(self):
        self.listen()
        self.unread.clear()

    def said(self):
        return (self.path / "stderr").read_text()

    def stop(self, sig=signal.SIGTERM, seconds=PATIENCE_S):
        self.process.send_signal(sig)
        return self.process.wait(seconds)

    def ask(self, **request):
        self.listen()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE_S)
            s.connect(str(self.socket))
            s.sendall(json.dumps(request).encode() + b"\n")
            with s.makefile() as f:
                return json.loads(f.readline())

    def status(self):
        answer = self.ask(do="status")
        assert answer["ok"], answer
        return answer

    def runs(self):
        """The processes of its scheduled runs."""
        return [pid for pid, argv in self.processes() if argv[1:4] == ["run", "--config", str(self.config)]]

    def __exit__(self, *what):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notify.close()
        super().__exit__(*what)

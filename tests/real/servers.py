"""Real servers for tests: llama-server and whisper-server as tests/real/real-servers unpacks them, with models of random
weights, on ports that the system gives."""
import atexit
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../run"))
from tap import DREAM, ROOT, Box, Done, run_cases  # noqa: E402,F401

# A server that aborts, as it shall here, leaves no core file in the folder that the tests were started from.
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

TOOLS = os.environ["REAL_TOOLS"]  # where mkgguf, mkwhisper and mkclips were built
# More threads than free cores spin, and everything is a hundred times slower.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def folder():
    """Where the programs are; None and a sentence where they cannot be had. DREAM_REAL_SERVERS names a folder or, with
    `no`, asks for doing without."""
    chosen = os.environ.get("DREAM_REAL_SERVERS")
    if chosen == "no":
        return None, "DREAM_REAL_SERVERS=no"
    where = chosen or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                                   "dream/real-servers")
    got = subprocess.run([os.path.join(ROOT, "tests/real/real-servers"), where], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=500)
    return (where, None) if got.returncode == 0 else (None, got.stderr.strip() or "tests/real/real-servers failed")


SERVERS, WHY_NOT = folder()
LLAMA, WHISPER = (os.path.join(SERVERS or "/nowhere", "bin", n) for n in ("llama-server", "whisper-server"))
FILES = tempfile.mkdtemp(prefix="dream-real-")
atexit.register(shutil.rmtree, FILES, True)


def run_all(cases):
    """Runs the cases; without servers every one is skipped, with the reason."""
    def skipped(case):
        def why():
            return WHY_NOT
        why.__name__ = case.__name__
        return why
    run_cases(cases if SERVERS else [skipped(c) for c in cases])


def make(tool, name, *options):
    """A file (for mkclips a folder) in FILES, made once."""
    path = os.path.join(FILES, name)
    if os.path.exists(path):
        return path
    if tool == "mkclips":
        os.mkdir(path)
    subprocess.run([os.path.join(TOOLS, tool), *map(str, options), path], check=True, timeout=120)
    return path


def language_model():
    return make("mkgguf", "micro.gguf")


def speech_model():
    return make("mkwhisper", "micro.bin")


def clips():
    return make("mkclips", "clips", "--clips", 3, "--shortest", 500, "--longest", 2000)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def busy_port():
    """A listener that answers nobody, and its port. The servers share a port with whoever allows it; this one does
    not."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen()
    return s, s.getsockname()[1]


def wait_until(check, seconds=30, what="it did not happen in time"):
    deadline = time.monotonic() + seconds
    while not (got := check()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return got


def llama_command(*more, model=None):
    return [LLAMA, "-m", model or language_model(), "-t", "1", *map(str, more)]


def whisper_command(*more, model=None):
    return [WHISPER, "-m", model or speech_model(), "-t", "1", "-bs", "1", "-bo", "1", "-nf", "-nt", *map(str, more)]


class Server:
    """One server, started on a port of its own and gone at the end of a `with`."""

    def __init__(self, command, port=None, ready=True, **env):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = os.path.join(FILES, f"log-{self.port}")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(self.port)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **ONE_THREAD, **env})
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.__exit__()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_ready(self):
        def healthy():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.log()}"
            try:
                return self.ask("GET", "/health")[0] == 200
            except OSError:
                return False
        wait_until(healthy, what="it is not ready: " + self.log())

    def ask(self, method, path, body=None, kind="application/json"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path, json.dumps(body) if isinstance(body, dict) else body, {"Content-Type": kind})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, text

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[1].decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()


def llama(*more, **how):
    return Server(llama_command("--metrics", *more), **how)


def whisper(*more, **how):
    return Server(whisper_command(*more), **how)


def end_of(command, port=None, seconds=30):
    """Starts what is expected to fail: the exit status and all that was said."""
    s = Server(command, port=port, ready=False)
    try:
        s.process.wait(seconds)
        return s.process.returncode, s.log()
    finally:
        s.__exit__()

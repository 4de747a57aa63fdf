#!/usr/bin/env python3
"""A trial of a server in a container: its processes are those of the container's daemon, and the service's all the same."""
import os
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../cli")]
from matrix import DREAM, Program, Trial, listens  # noqa: E402
from tap import run_cases  # noqa: E402

MODEL = "Qwen2.5-7B-Instruct-AWQ"
DOCKER = os.path.join(HERE, "docker")
IN_CONTAINER = Program("container", "vllm", "llm", True, [
    DOCKER, "run", "--gpus", "all", "vllm/vllm-openai", MODEL, "--max-model-len", "2048", "--enforce-eager",
    "--gpu-memory-utilization", "0.6"], service={"gpu_bytes": "4 GiB"})


def begin(t, requests=60):  # enough for a median, even where neighbours are alike
    t.env["DOCKER_STATE"] = t.path("state")
    t.others.append(subprocess.Popen([DOCKER, "daemon", DREAM, "twin", "vllm", "serve"], env=t.env, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    t.write(IN_CONTAINER.command, requests=requests)
    t.start()


def what_runs_in_a_container_is_the_services_and_nobody_elses():
    with Trial(IN_CONTAINER, {}) as t:
        begin(t)
        t.wait()
        m = t.measurement()
        assert m["status"] == "ok", m
        served = m["evidence"]["verdict"]["services"]["served"]["placement"]
        assert served["result"] == "placed" and served["used_bytes"] > 4 << 30, served
        assert not t.left(10), t.left()


def somebody_else_beside_it_is_still_noticed():
    with Trial(IN_CONTAINER, {}) as t:
        begin(t, 600)
        t.busy()
        t.beside("gpu", "--grow", "1GiB", "--busy", "0.5")
        t.wait()
        m = t.measurement()
        assert m["status"] == "contended" and "came on the GPU" in m["reason"] and "1024 MiB" in m["reason"], t.said()


# Named as Docker's own, with a port of the host that leads to the server's.
FORWARDER = """
import ctypes, socket, sys, threading
ctypes.CDLL(None).prctl(15, b"docker-proxy", 0, 0, 0)
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    a = listener.accept()[0]
    b = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for pair in ((a, b), (b, a)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def what_is_observed_in_a_container_is_no_stranger():
    with Trial(IN_CONTAINER, {}) as t:
        port = free_port()
        t.beside("vllm", "serve", MODEL, "--max-model-len", "2048", "--enforce-eager", "--gpu-memory-utilization", "0.6", "--port",
                 str(port))
        until = time.monotonic() + 30
        while not listens(port):
            assert time.monotonic() < until, "the server does not listen"
            time.sleep(0.05)
        proxy = subprocess.Popen([sys.executable, "-c", FORWARDER, str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        t.others.append(proxy)
        url = f"http://127.0.0.1:{int(proxy.stdout.readline())}"
        t.write(None, service={"url": url, "model": MODEL}, evaluator={"as": "observe"}, requests=300)
        t.start()
        t.wait()
        m = t.measurement()
        assert m["status"] == "ok", m
        assert t.result["stage"] == "observed", t.said()


CASES = [what_runs_in_a_container_is_the_services_and_nobody_elses, somebody_else_beside_it_is_still_noticed,
         what_is_observed_in_a_container_is_no_stranger]

run_cases(CASES)

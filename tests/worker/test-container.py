#!/usr/bin/env python3
"""A trial of a server in a container: its processes are those of the container's daemon, and the service's all the same."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../cli")]
from matrix import DREAM, Program, Trial  # noqa: E402
from tap import run_cases  # noqa: E402

DOCKER = os.path.join(HERE, "docker")
IN_CONTAINER = Program("container", "vllm", "llm", True, [
    DOCKER, "run", "--gpus", "all", "vllm/vllm-openai", "Qwen2.5-7B-Instruct-AWQ", "--max-model-len", "2048", "--enforce-eager",
    "--gpu-memory-utilization", "0.6"], service={"gpu_bytes": "4 GiB"})


def begin(t, requests=12):
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
        assert m["status"] == "ok", t.said()
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


CASES = [what_runs_in_a_container_is_the_services_and_nobody_elses, somebody_else_beside_it_is_still_noticed]

run_cases(CASES)

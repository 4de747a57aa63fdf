"""Evaluators as the first version had them, for the tests of the shim."""
import json
import os
import subprocess
import sys
import time

print("imported")  # would break the protocol if it reached standard output


class Allocation:
    """evaluate(candidate), seven keys, prints and a child that prints."""

    def __init__(self, stt_ms=44.0, fail=None):
        self.stt_ms = stt_ms
        self.fail = fail

    def evaluate(self, candidate):
        print("evaluating", candidate)
        subprocess.run(["echo", "a child prints too"], check=True)
        os.write(1, b"and so does C\n")
        if self.fail:
            getattr(self, self.fail)()
        return {
            "stt_latency_ms": self.stt_ms,
            "llm_latency_ms": 999.0,
            "gpu_utilization": 100 * candidate["vllm_memory_util"],
            "oom_events": 0,
            "concurrent_capacity": 5,
            "fitness": 0.537,
            "status": "pass",
        }

    def value_error(self):
        raise ValueError("no such model\nsecond line")

    def exits(self):
        sys.exit(0)

    def out_of_memory(self):
        raise MemoryError()

    def cuda_out_of_memory(self):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    def dies(self):
        os.abort()

    def leaves(self):
        os._exit(0)

    def hangs(self):
        time.sleep(1000)


class WithContext:
    def evaluate(self, params, context):
        return {"status": "pass", "generation": context["generation"],
                "wallclock": context["budget"]["wallclock_sec"],
                "share": params["vllm_memory_util"],
                "about": [context["experiment"], context["run"],
                          context["budget"]["allow_gpu"],
                          context["request"]["schema"]]}


class Odd:
    """What a result can be besides a dict of finite numbers."""

    def __init__(self, what):
        self.what = what

    def evaluate(self, params):
        return {
            "nan": {"status": "pass", "stt_latency_ms": float("nan")},
            "inf": {"status": "pass", "metrics": {"a": [1, float("inf")]}},
            "none": None,
            "number": 3.0,
            "set": {"status": "pass", "a": {1, 2}},
            "scalar": {"status": "pass", "a": Scalar(2.5)},
            "text": {"status": "pass", "a": 1, "note": "\u00e9\n\x1b"},
        }[self.what]


class Scalar:
    """As numpy's scalars are."""

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


class Async:
    async def evaluate(self, params):
        return {"status": "pass", "a": 1}


class Optional:
    def evaluate(self, params, *, verbose=False, **rest):
        return {"status": "pass", "a": 2}


class Environment:
    def evaluate(self, params):
        return {"status": "pass", "a": 1, "path": json.dumps(sys.path[0]),
                "visible": os.environ.get("CUDA_VISIBLE_DEVICES", "unset"),
                "order": os.environ.get("CUDA_DEVICE_ORDER", "unset"),
                "secret": os.environ.get("DREAM_TEST_SECRET", "dropped"),
                "fds": " ".join(sorted(os.listdir("/proc/self/fd"), key=int))}


def evaluate(params):
    return {"status": "pass", "a": 3}

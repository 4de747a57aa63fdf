"""What the tests of this folder run on: a card and programs that use it. The first that works here is taken; where none
does, there is a sentence why.

DREAM_GPU_SUITE=twin takes the simulated card and its programs instead. That proves these scripts, and nothing about a
driver."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../run"))
from tap import DREAM, ROOT  # noqa: E402

MIB = 1 << 20
REAL = os.path.join(HERE, "../real")


def cards(env):
    """(what NVML shows, None) or (None, why not)."""
    got = subprocess.run([DREAM, "gpu", "--json"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=60)
    if got.returncode != 0:
        return None, got.stderr.strip() or "dream gpu fails"
    found = json.loads(got.stdout)["devices"]
    return (found, None) if found else (None, "NVML shows no GPU")


class Programs:
    """A kind of server on the card. `least` and `most`: what one must and may hold, in bytes."""
    kind, param, values = "vllm", "max_num_seqs", [4, 8]
    least, most = 200 * MIB, 4096 * MIB
    off_card = {}      # of a service: an environment in which it does not find the card
    of_evaluator = {}  # what the evaluator gives to all that it starts

    def __init__(self, dir):
        self.dir, self.env = dir, dict(os.environ)

    def command(self):
        raise NotImplementedError

    def off_card_command(self):
        return self.command()

    def tenant_command(self):
        """Somebody else, who takes at least 100 MiB of the card as soon as it is started."""
        return [*self.command(), "--port", "0"]


class Llama(Programs):
    """llama-server with Vulkan, which CUDA_VISIBLE_DEVICES does not concern, in NVML's list of graphics processes."""
    kind, param, values = "llamacpp", "parallel", [1, 2]
    off_card = {"VK_DRIVER_FILES": "/nonexistent", "VK_ICD_FILENAMES": "/nonexistent"}

    def __init__(self, dir):
        super().__init__(dir)
        self.server = self.model_file = None
        # One card, where there are several: the first of Vulkan, whichever that is of NVML.
        self.of_evaluator = {"OMP_NUM_THREADS": "1", "GGML_VK_VISIBLE_DEVICES": "0"}
        self.env.update(self.of_evaluator)

    def prepare(self):
        where = os.environ.get("DREAM_REAL_SERVERS_GPU") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dream/real-servers-gpu")
        got = subprocess.run([os.path.join(REAL, "real-servers"), "--with", "libggml0-backend-vulkan", where],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500)
        if got.returncode != 0:
            return got.stderr.strip() or "tests/real/real-servers fails"
        self.server = os.path.join(where, "bin/llama-server")
        self.model_file = os.path.join(self.dir, "model.gguf")
        subprocess.run([os.path.join(os.environ["REAL_TOOLS"], "mkgguf"), "--embd", "1024", "--layers", "8", "--ff", "4096",
                        self.model_file], check=True, timeout=300)
        self.least = os.path.getsize(self.model_file) // 2
        self.most = os.path.getsize(self.model_file) + 2048 * MIB
        said = subprocess.run([self.server, "--list-devices"], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=120)
        return None if "Vulkan0" in said.stdout + said.stderr else "llama-server finds no GPU through Vulkan"

    def command(self):
        return [self.server, "-m", self.model_file, "-t", "1", "-c", "1024", "-ngl", "99"]

    def tenant_command(self):
        return [*self.command(), "--host", "127.0.0.1", "--port", "0"]


class Torch(Programs):
    held = 512
    least, most = 512 * MIB, 2560 * MIB  # a CUDA context and its libraries take up to 1 GiB more

    def prepare(self):
        got = subprocess.run([sys.executable, "-c", "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        if got.returncode == 0:
            return None
        return f"PyTorch finds no GPU in {sys.executable}" if not got.stderr else got.stderr.strip().splitlines()[-1]

    def command(self):
        return [sys.executable, os.path.join(HERE, "torch-server.py"), "--mib", str(self.held)]

    def off_card_command(self):
        # CUDA_VISIBLE_DEVICES in the configuration would be an order to use the CPU, and is the evaluator's to set.
        return ["sh", "-c", 'export CUDA_VISIBLE_DEVICES=; exec "$@"', "sh", *self.command()]


class Twin(Programs):
    model = "Qwen2.5-7B-Instruct-AWQ"
    least, most = 5000 * MIB, 9000 * MIB

    def prepare(self):
        self.of_evaluator = {"TWIN_BOX": os.path.join(ROOT, "boxes/rtx3060.yaml"), "TWIN_GPU": os.path.join(self.dir, "card"),
                             "TWIN_SPEED": "20", "LD_LIBRARY_PATH": os.environ["TWIN_FOLDER"]}
        self.env.update(self.of_evaluator)
        self.off_card = {"TWIN_GPU": os.path.join(self.dir, "another-card")}  # without any, vLLM does not start
        return None

    def command(self):
        return [DREAM, "twin", "vllm", "serve", self.model, "--max-model-len", "2048", "--enforce-eager",
                "--gpu-memory-utilization", "0.6"]

    def tenant_command(self):
        return [DREAM, "twin", "gpu", "--grow", "300MiB"]


def choose():
    """(programs, None) or (None, why not)."""
    dir = tempfile.mkdtemp(prefix="dream-gpu-suite-")
    reasons = []
    if os.environ.get("DREAM_GPU_SUITE") == "twin":
        kinds = [Twin]
    else:
        found, why = cards(dict(os.environ))
        kinds = [Llama, Torch] if found else []
        reasons = [] if found else [why]
    for kind in kinds:
        programs = kind(dir)
        why = programs.prepare()
        if not why:
            return programs, None
        reasons.append(why)
    shutil.rmtree(dir, ignore_errors=True)
    return None, re.sub(r"\s+", " ", "; ".join(reasons))

#!/usr/bin/python3
"""`dream init` and `dream doctor` where the servers are units of a real manager."""
import pathlib
import re
import subprocess
import time

from machine import MODEL, Machine, narrow, run_cases

UNITS = pathlib.Path("/run/systemd/system")


def systemctl(*args, check=True):
    return subprocess.run(["systemctl", *args], check=check, capture_output=True, text=True)


def state(unit, name):
    return systemctl("show", "-p", name, "--value", unit).stdout.strip()


def wait(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


class Box(Machine):
    """The units judge.service and voice.service."""

    def unit(self, name, command, more=""):
        env = "".join(f'Environment="{k}={v}"\n' for k, v in self.env.items()
                      if k.startswith("TWIN") or k in ["LD_LIBRARY_PATH", "HOME"])
        (UNITS / name).write_text(f"[Service]\nExecStart={command}\n{env}{more}")
        self.units.append(name)
        systemctl("daemon-reload")

    def __enter__(self):
        super().__enter__()
        self.units = []
        (self.path / "judge.env").write_text("UTIL=0.5\n")
        self.unit("judge.service", f"{self.bin}/vllm serve {MODEL} --gpu-memory-utilization ${{UTIL}} --max-model-len 2048 "
                  "--enforce-eager --host 127.0.0.1 --port 8101 --api-key sk-sesame",
                  f"EnvironmentFile={self.path}/judge.env\n")
        self.unit("voice.service", f"{self.bin}/whisper-server --model small --port 8102")
        return self

    def __exit__(self, *_):
        systemctl("stop", *self.units, check=False)
        for name in self.units:
            (UNITS / name).unlink(missing_ok=True)
        systemctl("daemon-reload")
        systemctl("reset-failed", check=False)
        super().__exit__()

    def start_units(self):
        systemctl("start", "judge.service", "voice.service")
        wait(lambda: "listening" in str(self.listeners()))

    def listeners(self):
        import socket
        for port in [8101, 8102]:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) != 0:
                    return "not yet"
        return "listening"


def units_are_found_with_their_parameters_and_where_each_is_set():
    with Box() as box:
        box.start_units()
        done = box.dream("init")
        assert done.code == 0 and done.err == "", done
        narrow(done.out)
        flat = re.sub(r"\s+", " ", done.out)
        assert "judge: 6135 MiB, vllm, process" in flat and "unit judge.service, port 8101" in flat, done
        assert "voice: 1430 MiB, whispercpp, process" in flat, done
        text = (box.path / "dream.yaml").read_text()
        assert "sesame" not in text + done.out
        for part in ["from_unit: judge.service", "from_unit: voice.service", "as: units", "judge_gpu_memory_utilization: 0.5",
                     f"judge_gpu_memory_utilization: {{unit: judge.service, file: ", "key: UTIL",
                     "voice_model: {unit: voice.service, flag: \"--model\"}", "#   units: [judge.service, voice.service]"]:
            assert part in text, (part, text)
        # The start-up log is in the journal: the published facts of this box follow from it.
        assert "token_bytes: 57344" in text and "non_kv_bytes: 5.505 GiB" in text, text
        assert box.dream("check").code == 0
        preview = box.dream("predict")
        assert preview.code == 0 and "cannot" in preview.out + preview.err or "infeasible" in preview.out, preview
        assert box.dream("run", "--dry-run").code == 0


def production_that_is_broken_is_told():
    with Box() as box:
        box.unit("judge.service", f"{box.bin}/vllm serve {MODEL} --gpu-memory-utilization 0.40 --enforce-eager --port 8101")
        systemctl("start", "judge.service", check=False)
        wait(lambda: state("judge.service", "ActiveState") == "failed")
        done = box.dream("doctor")
        assert done.code == 1 and "judge.service has failed" in re.sub(r"\s+", " ", done.out), done
        assert "journalctl -u judge.service" in done.out, done


def a_unit_that_starts_again_and_again_is_told():
    with Box() as box:
        box.unit("judge.service", f"{box.bin}/vllm serve {MODEL} --gpu-memory-utilization 0.40 --enforce-eager --port 8101",
                 "Restart=on-failure\nRestartSec=100ms\nStartLimitIntervalSec=0\n")
        systemctl("start", "judge.service", check=False)
        wait(lambda: int(state("judge.service", "NRestarts") or 0) > 0)
        wait(lambda: state("judge.service", "SubState") in ["auto-restart", "running"])
        done = box.dream("doctor")
        assert done.code == 1 and "keeps starting again" in re.sub(r"\s+", " ", done.out), done


def leftovers_of_a_killed_run_are_told():
    with Box() as box:
        systemctl("start", "judge.service")
        subprocess.run(["systemd-run", "--unit", "dream-trial-7-judge", "sleep", "1000"], check=True, capture_output=True)
        try:
            done = box.dream("doctor")
        finally:
            systemctl("stop", "dream-trial-7-judge.service")
        flat = re.sub(r"\s+", " ", done.out)
        assert done.code == 1 and "dream-trial-7-judge.service is active" in flat, done
        assert "systemctl stop dream-trial-7-judge.service" in flat, done


run_cases([
    units_are_found_with_their_parameters_and_where_each_is_set,
    production_that_is_broken_is_told,
    a_unit_that_starts_again_and_again_is_told,
    leftovers_of_a_killed_run_are_told,
])

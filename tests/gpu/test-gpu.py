#!/usr/bin/python3
"""`dream gpu` from outside, on a simulated GPU with processes on it."""
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(os.environ["DREAM_SOURCE"]) / "tests" / "cli"))
from tap import DREAM, Home, run_cases  # noqa: E402

UUID = "GPU-3c1f0d2e-0000-4000-8000-0123456789ab"


class Box(Home):
    """A machine with one simulated GPU and guests on it."""

    def __enter__(self):
        self.guests = []
        self.file = self.path / "gpu"
        self.env.update(TWIN_GPU=str(self.file), LD_LIBRARY_PATH=os.environ["TWIN_FOLDER"])
        return self

    def guest(self, mib, busy=0.0, kind="compute", *args):
        p = subprocess.Popen([os.environ["GUEST"], self.file, str(mib), str(busy), kind, *args], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        assert p.stdout.readline() == "ready\n"
        self.guests.append(p)
        return p

    def __exit__(self, *_):
        for p in self.guests:
            p.stdin.close()
            p.wait(10)
            p.stdout.close()
        super().__exit__()


def without_nvml_one_sentence_says_what_to_do():
    with Home() as home:
        home.env["LD_LIBRARY_PATH"] = "/nonexistent"
        done = home.dream("gpu")
    if done.code == 0:
        return "this machine has NVML"
    assert done.code == 1 and done.out == "", done
    assert re.fullmatch(r"dream gpu: .*NVML.*\n", done.err), done


def the_card_and_who_uses_it():
    with Box() as box:
        a = box.guest(5000, 0.5, "compute", "--api-key", "sesame")
        b = box.guest(80, 0, "graphics")
        done = box.dream("gpu")
    assert done.code == 0 and done.err == "", done
    for text in ["Twin of a card", "compute capability 8.6", UUID, "driver   580.82", "5080 MiB used, 300 MiB reserved",
                 "free of 12288 MiB", "1500 of 1777 MHz", "128 W, limit 170 W, 61 C", "slowed   thermal, power cap",
                 "nobody has it"]:
        assert text in done.out, (text, done)
    assert re.search(rf"{a.pid} +5000 +compute ", done.out), done
    assert re.search(rf"{b.pid} +80 +graphics ", done.out), done
    assert "sesame" not in done.out, done


def no_line_is_wider_than_80_columns():
    with Box() as box:
        box.guest(5000, 0.5, "compute", "x" * 300)
        done = box.dream("gpu")
    assert all(len(line) <= 80 for line in done.out.splitlines()), done


def as_json_with_the_same_numbers():
    with Box() as box:
        a = box.guest(5000, 0.5)
        got = box.json("gpu")
    assert got["schema"] == "dream.gpu/v1"
    card, = got["devices"]
    assert card["uuid"] == UUID and card["compute_capability"] == "8.6" and card["fault"] is None
    assert card["used_bytes"] == 5000 << 20 and card["total_bytes"] == 12288 << 20
    assert card["gpu_pct"] == 50 and card["energy_j"] is None and card["cuda"] is None
    process, = card["processes"]
    assert process["pid"] == a.pid and process["lists"] == ["compute"] and process["used_bytes"] == 5000 << 20
    assert process["visible"] is True


def nvtop_reads_the_same():
    """NVTOP may name one that is not in PATH: Debian has it from 13 on."""
    nvtop = os.environ.get("NVTOP") or shutil.which("nvtop")
    if not nvtop:
        return "nvtop is not installed"
    with Box() as box:
        box.guest(3072)
        out = subprocess.run([nvtop, "-s"], env=box.env, stdout=subprocess.PIPE, text=True, timeout=30, check=True).stdout
    card, = json.loads(out)
    # 3072 MiB, and 300 that the driver keeps, of 12288: what is not free
    assert card["device_name"] == "Twin of a card" and card["mem_util"] == "27%", card
    assert card["temp"].startswith("61") and card["power_draw"].startswith("128"), card


def nobody_on_the_card():
    with Box() as box:
        p = box.guest(10)
        p.stdin.close()
        p.wait(10)
        box.guests.clear()
        done = box.dream("gpu")
    assert done.code == 0 and "no process uses it" in done.out, done


def watch(box, *args, lines):
    p = subprocess.Popen([DREAM, "gpu", "--watch", *args], cwd=box.path, env=box.env, stdout=subprocess.PIPE, text=True)
    try:
        return [p.stdout.readline() for _ in range(lines)]
    finally:
        p.terminate()
        p.wait(10)
        p.stdout.close()


def watching_appends_a_line_a_look_where_there_is_no_terminal():
    with Box() as box:
        box.guest(5000)
        lines = watch(box, "0.1", lines=3)
    for line in lines:
        assert re.fullmatch(r"[0-9T:-]+Z GPU 0: 5000 MiB used, 6988 MiB free, \d+ % load, 1 process, "
                            r"slowed: thermal, power cap\n", line), lines


def watching_in_json_is_a_document_a_line():
    with Box() as box:
        box.guest(5000)
        lines = watch(box, "--json", "0.1", lines=2)
    for line in lines:
        assert json.loads(line)["devices"][0]["uuid"] == UUID, lines


def watching_on_a_terminal_redraws():
    with Box() as box:
        box.guest(5000)
        ours, theirs = pty.openpty()
        p = subprocess.Popen([DREAM, "gpu", "-w", "0.1"], cwd=box.path, env=box.env, stdout=theirs)
        os.close(theirs)
        text = b""
        while text.count(b"\x1b[H\x1b[J") < 2:
            text += os.read(ours, 4096)
        p.terminate()
        p.wait(10)
        os.close(ours)
    assert b"Twin of a card" in text, text


def the_holder_of_the_lease_is_shown():
    with Box() as box:
        box.guest(10)
        folder = box.path / "run" / "dream"
        folder.mkdir(mode=0o700)
        lock = folder / f"gpu-{UUID}.lock"
        lock.write_text(json.dumps({"schema": "dream.gpu-lease/v1", "boot_id": "x", "pid": os.getpid(), "start": 1,
                                    "since": "2026-11-20T12:00:00Z", "purpose": "run \x1b[31mred", "released": False,
                                    "children": []}))
        import fcntl
        with open(lock) as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            done = box.dream("gpu")
        after = box.dream("gpu")
    assert f"process {os.getpid()}, since" in done.out, done
    assert "\x1b" not in done.out, done
    assert "nobody has it" in after.out, after


def a_lost_card_is_shown_as_lost_and_not_as_empty():
    with Box() as box:
        box.guest(10)
        lines = watch(box, "0.1", lines=1)
        assert "10 MiB used" in lines[0], lines
        data = bytearray(box.file.read_bytes())
        with open(box.file, "r+b") as f:
            f.seek(12)  # whether it is present
            assert data[12] == 1
            f.write(b"\0\0\0\0")
        done = box.dream("gpu")
    assert done.code == 1 and "counts a GPU 0 that cannot be used: the GPU fell off the bus" in done.err, done


def mistakes_are_explained():
    with Home() as home:
        for args, text in [(["3"], "goes with --watch"), (["-w", "soon"], "'soon' is no number of seconds"),
                           (["-w", "0"], "between 0.1 and 3600"), (["-w", "nan"], "'nan'")]:
            done = home.dream("gpu", *args)
            assert done.code == 2 and text in done.err, done


run_cases([v for v in list(globals().values()) if getattr(v, "__module__", None) == "__main__" and callable(v)
           and not isinstance(v, type) and v is not watch])

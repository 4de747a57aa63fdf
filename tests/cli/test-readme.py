#!/usr/bin/python3
"""The session in the README is what the program really prints, and the files it points to exist."""
import os
import pathlib
import re
import subprocess

from tap import DREAM, SOURCE, Home, run_cases

README = SOURCE / "README.md"
COMMANDS = [
    "dream predict examples/rtx3060.yaml vllm_memory_util=0.45 | tail -n 2",
    "dream run examples/rtx3060.yaml | tail -n 11",
    "dream lineage verify -c examples/rtx3060.yaml",
]


def session():
    """The commands' own output. Ids that contain the time, and the time taken, are left open."""
    with Home() as home:
        for name in ("examples", "boxes"):
            (home.path / name).symlink_to(SOURCE / name)
        env = dict(home.env, PATH=os.path.dirname(DREAM) + ":" + os.environ["PATH"], LC_ALL="C.UTF-8")
        text = ""
        for command in COMMANDS:
            p = subprocess.run(["bash", "-c", command], cwd=home.path, env=env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            text += f"$ {command}\n{p.stdout}"
        return text


def open_ends(text):
    text = re.sub(r"promotion-(\w+)-[0-9a-f]{8}", r"promotion-\1-ID", text)
    return re.sub(r"trials in [0-9.]+ \w+( [0-9]+ \w+)?", "trials in TIME", text)


def the_session_is_what_the_program_prints():
    text, got = README.read_text(), session()
    want = re.search(r"```console\n(.*?)```\n", text, re.S)[1]
    if os.environ.get("UPDATE_GOLDEN") and open_ends(got) != open_ends(want):
        text = re.sub(r"```console\n.*?```\n", lambda _: f"```console\n{got}```\n", text, flags=re.S)
        README.write_text(text)
        want = got
    assert open_ends(got) == open_ends(want), got


def every_file_that_a_document_points_to_exists():
    for document in [README, SOURCE / "ARCHITECTURE.md", SOURCE / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert target.startswith("http") or (SOURCE / target).exists(), (document.name, target)
        for name in re.findall(r"`((?:src|tests|tools|boxes|examples|docs)/[a-z][^` ]*)`", document.read_text()):
            pattern = re.sub(r"[A-Z]{3,}", "*", name)
            assert list(SOURCE.glob(pattern)) or "NAME" in name, (document.name, name)


def every_folder_of_the_program_is_in_the_map():
    text = (SOURCE / "ARCHITECTURE.md").read_text()
    for folder in pathlib.Path(SOURCE, "src").iterdir():
        if any(folder.glob("*.c")):
            assert f"`{folder.name}`" in text, folder.name


run_cases([
    the_session_is_what_the_program_prints,
    every_file_that_a_document_points_to_exists,
    every_folder_of_the_program_is_in_the_map,
])

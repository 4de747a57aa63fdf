#!/usr/bin/python3
"""Units are adopted, changed and given back under a systemd of their own. What the processes really have is asked of the
kernel; values are changed by the real helper."""
import json
import os
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../run"), os.path.join(HERE, "../sandbox")]
from box import must, pid_of, read, sh, show, wait, write  # noqa: E402
from tap import DREAM, run_cases  # noqa: E402

HELPER = os.environ["DREAM_HELPER"]
DIR = "/run/adopt"
UNITS, STATE = "/etc/systemd/system", "/var/lib/dream-production"
PROGRAM = f"/usr/bin/python3 {DIR}/program.py"


def dream(*args, code=0, env=None, user=None):
    p = subprocess.run([DREAM, *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=env, user=user)
    assert p.returncode == code, (args, p.returncode, p.stdout, p.stderr)
    return p.stdout + p.stderr


# --- Units ----------------------------------------------------------------------------------------


def unit(name, service, files=None):
    """A unit of the test's program, running."""
    path = f"{UNITS}/{name}"
    text = (f"[Unit]\nDescription=a test\n\n[Service]\nType=exec\nUser=dream\nEnvironment=SEEN={DIR}/seen/%n.json\n"
            "# what follows is the test's own\n" + service)
    write(path, text)
    for file, content in (files or {}).items():
        write(file, content)
    must("systemctl", "daemon-reload")


def seen(name, main=None):
    """What the running process of a unit wrote down."""
    main = main or pid_of(name)
    path = f"{DIR}/seen/{name}.json"

    def look():
        try:
            said = json.loads(read(path))
        except (OSError, ValueError):
            return None
        return said if said["pid"] == main else None
    return wait(name + " has started", look)


def restart(name):
    must("systemctl", "restart", name)
    return seen(name)


def words(name):
    with open(f"/proc/{pid_of(name)}/cmdline", "rb") as f:
        return f.read()


def snapshot(*roots):
    """Every file below, with its content, mode and owner."""
    found = {}
    for root in roots:
        for folder, _, files in os.walk(root):
            st = os.stat(folder)
            found[folder] = (st.st_mode, st.st_uid)
            for name in files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                found[path] = os.readlink(path) if os.path.islink(path) else (st.st_mode, st.st_uid, open(path, "rb").read())
    return found


def adopted():
    return {u["unit"]: u for u in json.loads(dream("adopt", "--list", "--json"))["units"]}


def give_all_back():
    for name in adopted():
        dream("adopt", "--undo", name, "--yes")
    for path in os.listdir(UNITS):
        full = f"{UNITS}/{path}"
        if path.endswith(".service") and not os.path.islink(full):
            sh("systemctl", "stop", path)
        shutil.rmtree(full) if os.path.isdir(full) and not os.path.islink(full) else os.unlink(full)
    must("systemctl", "daemon-reload")
    sh("systemctl", "reset-failed")


class Helper:
    """The privileged program, asked as the daemon asks it."""

    def __enter__(self):
        self.end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_inheritable(theirs.fileno(), True)
        self.process = subprocess.Popen([HELPER, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
        theirs.close()
        self.end.settimeout(30)
        return self

    def __exit__(self, *_):
        self.end.close()
        self.process.wait(10)

    def ask(self, **request):
        self.end.send(json.dumps(request).encode())
        return json.loads(self.end.recv(65536))

    def do(self, **request):
        answer = self.ask(**request)
        assert answer["ok"], (request, answer)
        return answer


def roll_out(values, *names):
    """Changes values as a rollout does, and proves that systemd was not asked to reload."""
    with Helper() as h:
        now = h.do(do="status")["current"]
        to = h.do(do="prepare", values=values)["generation"]
        h.do(do="begin", rollout="test", **{"from": now})
        h.do(do="flip", rollout="test", to=to)
        for name in names:
            answer = h.do(do="restart", unit=name)
            assert answer["result"] == "done", answer
            seen(name)
            answer = h.do(do="readback", unit=name)
            assert answer["readback"]["same"], answer
        h.do(do="commit", rollout="test")


def contained(name):
    """The container's server runs: before that its process still has the words of the program that starts it."""
    def look():
        for pid in read(f"/sys/fs/cgroup{show(name, 'ControlGroup')}/cgroup.procs").split():
            try:
                words = read(f"/proc/{pid}/cmdline").split("\0")[:-1]
                if words[:1] == ["server"] or words == [f"{DIR}/docker"]:  # the latter is what a script starts
                    return True
            except OSError:
                pass  # it has ended meanwhile
        return False
    wait("the container's server runs", look)


# --- Flags ----------------------------------------------------------------------------------------

NASTY = (f"{PROGRAM}  serve \\\n"
         "    'a b' \"c \\\"d\\\"\" e\\x20f \\\n"
         "# a comment in the middle --util 9\n"
         "    --name=%p-%i 100%% $$HOME ${GIVEN} $SPLIT 'it''s' \\; \\\n"
         "    --util 0.50 --tail \"last\"")


def a_flag_is_adopted_without_a_restart_and_changes_nothing():
    unit("judge.service", f"Environment=GIVEN=g 'SPLIT=one two'\nExecStart={NASTY}\n")
    before = restart("judge.service")
    line, was = words("judge.service"), pid_of("judge.service")
    preview = dream("adopt", "judge.service", "util=--util", "--dry-run")
    assert "+# /etc/systemd/system/judge.service.d/zz-dream.conf" in preview, preview
    assert "--util ${DREAM_UTIL} --tail \"last\"" in preview and "util = 0.50" in preview, preview
    assert not os.path.exists(f"{UNITS}/judge.service.d") and adopted() == {}
    assert "nobody can be asked" in dream("adopt", "judge.service", "util=--util", code=2)
    said = dream("adopt", "judge.service", "util=--util", "--allow", "util=0.1..0.9", "--yes")
    assert "was not restarted" in said, said
    assert pid_of("judge.service") == was and show("judge.service", "NeedDaemonReload") == "no"
    assert restart("judge.service")["argv"] == before["argv"]
    assert words("judge.service") == line, (words("judge.service"), line)


def a_flip_and_a_restart_bring_the_new_value_without_a_reload():
    units_read = show("judge.service", "DropInPaths")
    before = seen("judge.service")["argv"]
    roll_out({"util": "0.45"}, "judge.service")
    after = seen("judge.service")["argv"]
    assert after == [("0.45" if w == "0.50" else w) for w in before], (before, after)
    assert show("judge.service", "DropInPaths") == units_read
    with Helper() as h:
        assert h.ask(do="prepare", values={"util": "0.95"})["error"] == "EPERM"


def undo_leaves_every_byte_as_it_was_found():
    give_all_back()
    unit("judge.service", f"Environment=GIVEN=g SPLIT=s\nExecStart={NASTY}\n")
    write(f"{UNITS}/judge.service.d/override.conf", "# mine\n[Service]\nNice=1\n", 0o640)
    unit("voice.service", f"ExecStart={PROGRAM} --model small\n")
    line = restart("judge.service")["argv"]
    restart("voice.service")
    before = snapshot(UNITS, "/run/systemd/system", "/run/systemd/generator")
    dream("adopt", "judge.service", "util=--util", "--yes")
    dream("adopt", "voice.service", "model=--model", "--yes", "--after", "judge.service")
    assert set(adopted()) == {"judge.service", "voice.service"}
    assert "judge.service" in show("voice.service", "After").split()
    roll_out({"util": "0.45", "model": "tiny"}, "judge.service", "voice.service")
    own = {k: v for k, v in snapshot(UNITS).items() if "zz-dream" not in k and not k.endswith("voice.service.d")}
    assert own == {k: v for k, v in before.items() if k.startswith(UNITS)}
    was = pid_of("judge.service")
    assert "0.50 from the next start on" in dream("adopt", "--undo", "judge.service", "--yes")
    assert pid_of("judge.service") == was and set(adopted()) == {"voice.service"}
    assert seen("voice.service")["argv"] == ["--model", "tiny"]
    restart("voice.service")
    assert seen("voice.service")["argv"] == ["--model", "tiny"]
    dream("adopt", "--undo", "voice.service", "--yes")
    assert snapshot(UNITS, "/run/systemd/system", "/run/systemd/generator") == before
    assert show("judge.service", "NeedDaemonReload") == "no"
    assert "zz-dream" not in show("judge.service", "DropInPaths")
    assert restart("judge.service")["argv"] == line
    assert "not adopted" in dream("adopt", "--undo", "judge.service", "--yes", code=1)
    give_all_back()


# --- Variables and files --------------------------------------------------------------------------


def a_variable_and_the_same_key_of_a_secret_file_change_together():
    env = f"{DIR}/kloros.env"
    text = "# settings\nTOKEN='s3cret'\nexport ASR_WHISPER_SIZE=\"small\"\nLAST=1"
    write(env, text, 0o600)
    shutil.chown(env, "dream")
    unit("kloros.service", f"Environment=ASR_WHISPER_SIZE=small READS={env}\nExecStart={PROGRAM}\n")
    restart("kloros.service")
    before = snapshot(DIR + "/kloros.env", UNITS)
    dream("adopt", "kloros.service", "size=ASR_WHISPER_SIZE", f"size={env}:ASR_WHISPER_SIZE", "--allow",
          "size=tiny,base,small", "--yes")
    now = restart("kloros.service")
    assert now["env"]["ASR_WHISPER_SIZE"] == "small" and now["files"][env] == text
    roll_out({"size": "tiny"}, "kloros.service")
    now = seen("kloros.service")
    assert now["env"]["ASR_WHISPER_SIZE"] == "tiny"
    assert now["files"][env] == text.replace("small", "tiny"), now["files"]
    assert read(env) == text and os.stat(env).st_mode & 0o777 == 0o600
    for folder, _, files in os.walk(STATE):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                assert b"s3cret" not in f.read() or os.stat(path).st_mode & 0o777 == 0o600, path
    write(env, text + "\nNEW=2\n", 0o600)
    assert "was edited since" in adopted()["kloros.service"]["drift"]
    write(env, text, 0o600)
    assert adopted()["kloros.service"]["drift"] == ""
    dream("adopt", "--undo", "kloros.service", "--yes")
    assert snapshot(DIR + "/kloros.env", UNITS) == before
    assert restart("kloros.service")["env"]["ASR_WHISPER_SIZE"] == "small"
    give_all_back()


def a_key_of_an_environment_file_is_overridden_and_the_file_stays():
    env = f"{DIR}/linked/voice.env"
    os.symlink(DIR, f"{DIR}/linked")  # whoever reads it follows links
    write(env, "OTHER=1\nSIZE=small\n")
    unit("voice.service", f"EnvironmentFile=-{env}\nEnvironment=READS={env}\nExecStart={PROGRAM} $SIZE\n")
    restart("voice.service")
    dream("adopt", "voice.service", f"size={env}:SIZE", "--yes")
    roll_out({"size": "base"}, "voice.service")
    now = seen("voice.service")
    assert now["env"]["SIZE"] == "base" and now["env"]["OTHER"] == "1" and now["argv"] == ["base"]
    assert now["files"][env] == "OTHER=1\nSIZE=small\n"
    write(env, "OTHER=2\nSIZE=small\n")
    assert adopted()["voice.service"]["drift"] == ""
    assert restart("voice.service")["env"]["OTHER"] == "2"
    write(env, "OTHER=2\nSIZE=medium\n")
    assert "SIZE is medium" in adopted()["voice.service"]["drift"]
    give_all_back()


def a_key_of_the_config_file_changes_and_its_comments_stay():
    config = f"{DIR}/vllm.yaml"
    text = "# of the judge\nmodel: q  # quantised\ngpu-memory-utilization: 0.5   # half\nport: 8000\n"
    unit("judge.service", f"Environment=READS={config}\nExecStart={PROGRAM} serve --config {config}\n", {config: text})
    restart("judge.service")
    dream("adopt", "judge.service", "util=--config:gpu_memory_utilization", "--yes")
    roll_out({"util": "0.45"}, "judge.service")
    now = seen("judge.service")
    assert now["files"][config] == text.replace("0.5 ", "0.45 "), now["files"]
    assert now["argv"] == ["serve", "--config", config] and read(config) == text
    give_all_back()


def an_instance_of_a_template_with_an_escaped_name():
    name = "llm@gpu\\x2d0.service"
    unit("llm@.service", f"ExecStart={PROGRAM} --name %i --full %I --util=0.5\n")
    first = restart(name)
    dream("adopt", name, "util=--util", "--yes")
    assert restart(name)["argv"] == first["argv"]
    roll_out({"util": "0.6"}, name)
    assert seen(name)["argv"] == ["--name", "gpu\\x2d0", "--full", "gpu-0", "--util=0.6"], seen(name)
    assert show("llm@other.service", "DropInPaths") == ""
    dream("adopt", "--undo", name, "--yes")
    assert restart(name)["argv"] == first["argv"]
    must("systemctl", "stop", name)
    give_all_back()


def a_container_is_adopted_through_its_command_line():
    unit("box.service", f"User=root\nExecStart={DIR}/docker run --rm -m 8g -e SIZE=small --gpus all vllm/vllm:v1 --model q -m 0.5\n")
    must("systemctl", "restart", "box.service")
    dream("adopt", "box.service", "util=-m", "size=SIZE", "other=OTHER", "--value", "other=1", "--yes")
    with Helper() as h:
        to = h.do(do="prepare", values={"util": "0.4", "size": "tiny"})["generation"]
        h.do(do="begin", rollout="r", **{"from": h.do(do="status")["current"]})
        h.do(do="flip", rollout="r", to=to)
        assert h.do(do="restart", unit="box.service")["result"] == "done"
        contained("box.service")
        answer = h.do(do="readback", unit="box.service")
        assert [(v["parameter"], v["found"]) for v in answer["readback"]["values"]] == \
            [("util", "0.4"), ("size", "tiny"), ("other", "1")], answer
        assert answer["readback"]["same"] and answer["readback"]["seen"], answer
        # It is the program inside that was looked at, not the client that asked for it.
        assert answer["readback"]["pid"] != answer["state"]["main_pid"], answer
        with open(f"/proc/{answer['readback']['pid']}/cmdline") as f:
            assert f.read().split("\0")[0] == "server"
        h.do(do="commit", rollout="r")
    want = "run --rm -m 8g -e SIZE=tiny --gpus all -e OTHER=1 vllm/vllm:v1 --model q -m 0.4"
    assert words("box.service").decode().split("\0")[1:-1] == want.split()
    give_all_back()


def what_a_container_makes_of_its_arguments_counts_and_not_what_its_client_says():
    for image, seen, found in (("deaf/vllm:v1", False, "0.4"), ("none/vllm:v1", False, "0.4"), ("script/vllm:v1", True, None)):
        unit("box.service", f"User=root\nExecStart={DIR}/docker run --rm {image} --model q -m 0.5\n")
        must("systemctl", "restart", "box.service")
        dream("adopt", "box.service", "util=-m", "--yes")
        with Helper() as h:
            to = h.do(do="prepare", values={"util": "0.4"})["generation"]
            h.do(do="begin", rollout="r", **{"from": h.do(do="status")["current"]})
            h.do(do="flip", rollout="r", to=to)
            assert h.do(do="restart", unit="box.service")["result"] == "done"
            if not image.startswith("none/"):
                contained("box.service")
            back = h.do(do="readback", unit="box.service")["readback"]
            value = back["values"][0]
            assert not back["same"] and not value["same"], (image, back)
            assert back["seen"] is seen and value["found"] == found, (image, back)
            assert ("not seen into" in back["words"]) is not seen, (image, back)
            h.do(do="undo")
        must("systemctl", "stop", "box.service")
        give_all_back()


# --- What goes wrong ------------------------------------------------------------------------------


def a_later_edit_is_drift_until_the_unit_is_adopted_anew():
    unit("judge.service", f"ExecStart={PROGRAM} --util 0.5 --port 1\n")
    restart("judge.service")
    dream("adopt", "judge.service", "util=--util", "--yes")
    roll_out({"util": "0.4"}, "judge.service")
    unit("judge.service", f"# new words\nExecStart={PROGRAM} \\\n  --util 0.5 --port 1\n")
    assert adopted()["judge.service"]["drift"] == ""
    unit("judge.service", f"ExecStart={PROGRAM} --util 0.5 --port 2\n")
    assert "was edited" in adopted()["judge.service"]["drift"]
    assert "yes" in dream("adopt", "--list")
    with Helper() as h:
        assert h.do(do="status")["units"]["judge.service"]["drift"]
    dream("adopt", "judge.service", "--yes")
    assert adopted()["judge.service"]["drift"] == ""
    assert restart("judge.service")["argv"] == ["--util", "0.4", "--port", "2"]
    dream("adopt", "judge.service", "port=--port", "--yes")
    assert {t["parameter"]: t["value"] for t in adopted()["judge.service"]["targets"]} == {"util": "0.4", "port": "2"}
    assert restart("judge.service")["argv"] == ["--util", "0.4", "--port", "2"]
    give_all_back()


def giving_back_an_edited_unit_promises_no_value_and_a_unit_that_is_gone_is_said_so():
    unit("judge.service", f"ExecStart={PROGRAM} --util 0.5\n")
    dream("adopt", "judge.service", "util=--util", "--yes")
    unit("judge.service", f"ExecStart={PROGRAM} --util 0.7\n")
    said = dream("adopt", "--undo", "judge.service", "--dry-run")
    assert "what its own files say by then (0.5 when it was adopted)" in said and "was edited since" in said, said
    os.unlink(f"{UNITS}/judge.service")
    sh("systemctl", "daemon-reload")
    assert "the unit is gone; 'dream adopt --undo judge.service'" in dream("adopt", "--list")
    dream("adopt", "--undo", "judge.service", "--yes")
    assert adopted() == {} and not os.path.exists(f"{UNITS}/judge.service.d")
    give_all_back()


def without_its_values_a_unit_does_not_start_at_all():
    unit("judge.service", f"ExecStart={PROGRAM} --util 0.5\n")
    restart("judge.service")
    dream("adopt", "judge.service", "util=--util", "--yes")
    target = os.readlink(f"{STATE}/current")
    os.unlink(f"{STATE}/current")
    sh("systemctl", "restart", "judge.service")
    assert show("judge.service", "Result") == "resources", show("judge.service", "Result")
    os.symlink(target, f"{STATE}/current")
    assert restart("judge.service")["argv"] == ["--util", "0.5"]
    give_all_back()


def while_production_is_changed_nothing_is_adopted_or_given_back():
    unit("judge.service", f"ExecStart={PROGRAM} --util 0.5\n")
    unit("voice.service", f"ExecStart={PROGRAM} --model small\n")
    dream("adopt", "judge.service", "util=--util", "--yes")
    before = snapshot(UNITS, STATE, "/etc/dream")
    with Helper() as h:
        h.do(do="begin", rollout="r7", **{"from": h.do(do="status")["current"]})
        assert "rollout r7 is changing" in dream("adopt", "voice.service", "m=--model", "--yes", code=1)
        assert "rollout r7 is changing" in dream("adopt", "--undo", "judge.service", "--yes", code=1)
        h.do(do="undo")
    after = snapshot(UNITS, STATE, "/etc/dream")
    assert {k: v for k, v in before.items() if "intent" not in k and "lock" not in k} == \
        {k: v for k, v in after.items() if "intent" not in k and "lock" not in k}
    give_all_back()


def what_cannot_be_adopted_is_refused_and_nothing_is_touched():
    unit("script.service", "ExecStart=/bin/sh -c 'exec sleep 100 --util 1'\n")
    unit("later.service", f"ExecStart={PROGRAM} --util 1\n",
         {f"{UNITS}/later.service.d/zzz.conf": f"[Service]\nExecStart=\nExecStart={PROGRAM} --util 2\n"})
    unit("stale.service", f"ExecStart={PROGRAM} --util 1\n")
    unit("taken.service", f"ExecStart={PROGRAM} --util 1\n",
         {f"{UNITS}/taken.service.d/zz-dream.conf": "[Service]\nNice=1\n"})
    unit("real.service", f"ExecStart={PROGRAM} --util 1\n\n[Install]\nAlias=alias.service\n")
    os.symlink(f"{UNITS}/real.service", f"{UNITS}/alias.service")
    os.symlink("/dev/null", f"{UNITS}/masked.service")
    write(f"{UNITS}/plate@.service", f"[Service]\nExecStart={PROGRAM} --util %i\n")
    write(f"{UNITS}/broken.service", "[Service]\nExecStart=relative/%Q\n")
    must("systemctl", "daemon-reload")
    must("systemd-run", "--unit=transient", "sleep", "100")
    must("systemctl", "start", "stale.service")
    write(f"{UNITS}/stale.service", read(f"{UNITS}/stale.service") + "# edited\n")
    os.mkfifo(f"{DIR}/pipe.env")
    env = f"{DIR}/link.env"
    write(f"{DIR}/target.env", "A=1\n")
    if not os.path.lexists(env):
        os.symlink(f"{DIR}/target.env", env)
    before = snapshot(UNITS)
    for name, wish, said in [
            ("script.service", "util=--util", "shell script"), ("later.service", "util=--util", "zzz.conf is read after"),
            ("stale.service", "util=--util", "daemon-reload"), ("taken.service", "util=--util", "take the file away"),
            ("alias.service", "util=--util", "another name of real.service"), ("masked.service", "util=--util", "masked"),
            ("broken.service", "util=--util", "cannot be read"), ("none.service", "util=--util", "no unit none.service"),
            ("transient.service", "util=--util", "systemd-run"), ("real.service", f"a={DIR}/pipe.env:A", "no regular file"), ("real.service", f"a={env}:A", "symbolic link"),
            ("plate@.service", "util=--util", "adopt its instances by their own names, as in plate@NAME.service"),
            ("real.service", "util=--nothing", "--value util=VALUE"), ("real.service", "l=LD_PRELOAD", "which program")]:
        said_now = dream("adopt", name, wish, "--yes", code=1)
        assert said in said_now, (name, said_now)
    for args in (["real.service"], ["real.service", "util"], ["real.service", "util=--util", "--allow", "x=1..2"],
                 ["real.service", "util=--util", "--allow", "util=2..1"], ["--list", "real.service"], []):
        dream("adopt", *args, code=2)
    assert "may not be" in dream("adopt", "real.service", "util=--util", "--allow", "util=2..3", "--yes", code=1)
    assert snapshot(UNITS) == before and adopted() == {}
    must("systemctl", "stop", "transient.service")
    give_all_back()


def units_that_would_wait_for_each_other_are_refused():
    unit("a.service", f"ExecStart={PROGRAM} --util 1\n")
    unit("b.service", f"ExecStart={PROGRAM} --util 1\n")
    assert "when its program runs" in dream("adopt", "a.service", "u=--util", "--after", "b.service", "--yes")
    assert "starts after" in dream("adopt", "b.service", "u=--util", "--after", "a.service", "--yes", code=1)
    give_all_back()


def killed_at(syscall, number, *args):
    """The command, killed at the start of the nth such call of it. False: it has fewer, and did its work."""
    p = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + syscall, "-e",
                        f"inject={syscall}:signal=SIGKILL:when={number}", DREAM, *args], capture_output=True, text=True,
                       timeout=60, stdin=subprocess.DEVNULL)
    assert p.returncode in (0, -9, 137), (syscall, number, p)
    return p.returncode != 0


def whenever_it_is_killed_the_unit_is_adopted_or_as_it_was():
    if not shutil.which("strace"):
        return "strace is not installed"
    unit("judge.service", f"Environment=READS={DIR}/k.env\nExecStart={PROGRAM} --util 0.5\n", {f"{DIR}/k.env": "K=1\n"})
    write(f"{UNITS}/judge.service.d/override.conf", "[Service]\nNice=1\n")
    must("systemctl", "daemon-reload")
    argv = restart("judge.service")["argv"]
    before, kills = snapshot(UNITS), 0
    wish = ("adopt", "judge.service", "util=--util", f"k={DIR}/k.env:K", "--yes")
    undo = ("adopt", "--undo", "judge.service", "--yes")
    for number in range(1, 40):
        left = 0
        for syscall in ("rename", "symlink", "mkdir", "unlink", "rmdir", "fsync"):
            for command in (wish, undo):
                if command == undo:
                    dream(*wish)
                if not killed_at(syscall, number, *command):
                    continue
                left += 1
                must("systemctl", "daemon-reload")
                assert restart("judge.service")["argv"] == argv, (syscall, number, command)
                assert os.path.exists(f"{UNITS}/judge.service.d/zz-dream.conf") <= ("judge.service" in adopted())
                dream(*wish)
                assert restart("judge.service")["argv"] == argv and adopted()["judge.service"]["drift"] == ""
                dream(*undo)
                assert snapshot(UNITS) == before, (syscall, number, command)
            if "judge.service" in adopted():
                dream(*undo)
        kills += left
        if not left or not os.environ.get("DREAM_SOAK") and kills > 5:
            break
    assert kills > 5, kills
    print(f"# killed {kills} times")
    give_all_back()


# --- A user's own manager -------------------------------------------------------------------------


def a_user_adopts_units_of_the_users_manager():
    home, runtime = f"{DIR}/home", "/run/user/900"
    os.makedirs(f"{home}/.config/systemd/user")
    write(f"{home}/vllm.yaml", "batch: 8\n")
    write(f"{home}/self.env", "A=1\n")
    write(f"{home}/program.env", "A=1\n")
    write(f"{home}/.config/systemd/user/mine.service",
          f"[Service]\nType=exec\nEnvironment=SEEN={DIR}/seen/mine.json READS=%h/vllm.yaml\nEnvironmentFile=%h/self.env\n"
          f"ExecStart={PROGRAM} --util 0.5 --config %h/vllm.yaml\n")
    must("chown", "-R", "dream:", home)
    write("/run/systemd/system/user@900.service.d/home.conf", f"[Service]\nPAMName=\nEnvironment=HOME={home} XDG_RUNTIME_DIR={runtime}\n")
    must("systemctl", "daemon-reload")
    must("systemctl", "start", "user@900.service")
    env = {"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": runtime}

    def user(*args, code=0):
        return dream(*args, code=code, env=env, user="dream")

    def ctl(*args):
        p = subprocess.run(["systemctl", "--user", *args], capture_output=True, text=True, env=env, user="dream", timeout=60)
        assert p.returncode == 0, p.stderr
        return p.stdout.strip()

    def mine():
        return seen("mine", int(ctl("show", "--property=MainPID", "--value", "mine.service")))

    ctl("restart", "mine.service")
    assert "as root" in user("adopt", "judge.service", "util=--util", "--yes", code=1)
    before = snapshot(f"{home}/.config/systemd")
    assert "a user's systemd cannot" in user("adopt", "mine.service", f"a={home}/program.env:A", "--yes", code=1)
    user("adopt", "mine.service", "util=--util", "batch=--config:batch", f"a={home}/self.env:A", "--yes")
    ctl("restart", "mine.service")
    copy = f"{home}/.local/state/dream-production/current/mine.service.file0"
    assert mine()["argv"] == ["--util", "0.5", "--config", copy], mine()["argv"]
    assert read(copy) == "batch: 8\n"
    assert mine()["env"]["A"] == "1"
    user("adopt", "--undo", "mine.service", "--yes")
    assert snapshot(f"{home}/.config/systemd") == before
    ctl("restart", "mine.service")
    assert mine()["argv"] == ["--util", "0.5", "--config", f"{home}/vllm.yaml"]
    must("systemctl", "stop", "user@900.service")


def alone(case):
    """What one leaves behind that fails is not the next one's."""
    def run():
        try:
            return case()
        except BaseException:
            with Helper() as h:
                h.ask(do="undo")
            give_all_back()
            raise
    run.__name__ = case.__name__
    return run


def main():
    os.makedirs(DIR + "/seen")
    os.chmod(DIR + "/seen", 0o777)
    shutil.copy(f"{HERE}/program.py", DIR)
    shutil.copy(os.environ["CONTAINER"], f"{DIR}/docker")
    if sys.argv[1:] == ["--kill"]:
        sys.argv.pop()
        return run_cases([whenever_it_is_killed_the_unit_is_adopted_or_as_it_was])
    run_cases([alone(case) for case in (
        a_flag_is_adopted_without_a_restart_and_changes_nothing,
        a_flip_and_a_restart_bring_the_new_value_without_a_reload,
        undo_leaves_every_byte_as_it_was_found,
        a_variable_and_the_same_key_of_a_secret_file_change_together,
        a_key_of_an_environment_file_is_overridden_and_the_file_stays,
        a_key_of_the_config_file_changes_and_its_comments_stay,
        an_instance_of_a_template_with_an_escaped_name,
        a_container_is_adopted_through_its_command_line,
        what_a_container_makes_of_its_arguments_counts_and_not_what_its_client_says,
        a_later_edit_is_drift_until_the_unit_is_adopted_anew,
        giving_back_an_edited_unit_promises_no_value_and_a_unit_that_is_gone_is_said_so,
        without_its_values_a_unit_does_not_start_at_all,
        while_production_is_changed_nothing_is_adopted_or_given_back,
        what_cannot_be_adopted_is_refused_and_nothing_is_touched,
        units_that_would_wait_for_each_other_are_refused,
        a_user_adopts_units_of_the_users_manager,
    )])


main()

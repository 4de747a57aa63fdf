"""What tests under a systemd of their own (tests/sandbox/systemd-sandbox) have in common: commands, units, files, and waiting
for what others do."""
import json
import os
import re
import shutil
import socket
import subprocess
import time
import traceback

# --- Commands -----------------------------------------------------------------------------------


def must(*args, timeout=60, **kw):
    """What it prints. That it fails is the test's failure."""
    p = subprocess.run([str(a) for a in args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **kw)
    assert p.returncode == 0, f"{args}: exit {p.returncode}\n{p.stdout}{p.stderr}"
    return p.stdout.strip()


def sh(*args, timeout=60):
    """What it prints, however it ends."""
    return subprocess.run([str(a) for a in args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout).stdout.strip()


def as_user(uid, body):
    """Runs body() in a process of another user; what goes wrong there is wrong here."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r)
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            body()
        except BaseException as e:  # all of it is the answer
            os.write(w, traceback.format_exc().encode()[-4000:] or repr(e).encode())
        os._exit(0)
    os.close(w)
    text = b""
    while chunk := os.read(r, 4096):
        text += chunk
    os.close(r)
    os.waitpid(pid, 0)
    assert not text, text.decode()


def go_first():
    """We and what we start go before whatever else the machine does, where that is allowed: what is measured and compared is
    the change then, and not how busy the machine was. Gives the line that does the same for a unit, or nothing."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return ""
    return "CPUSchedulingPolicy=rr\n"


def pace():
    """The line alone, for a test whose units measure and that itself looks on."""
    policy = os.sched_getscheduler(0)
    line = go_first()
    if line:
        os.sched_setscheduler(0, policy, os.sched_param(os.sched_get_priority_min(policy)))
    return line


# --- Asking the daemon --------------------------------------------------------------------------

DAEMON_SOCKET = "/run/dream/control.sock"


def ask_daemon(**request):
    """What it answers, also where it refuses. OSError: nobody answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(DAEMON_SOCKET)
        s.sendall(json.dumps(request).encode() + b"\n")
        with s.makefile() as f:
            line = f.readline()
    if not line:
        raise ConnectionResetError("the daemon has closed the connection")
    return json.loads(line)


def daemon_rests():
    """Its status, when it answers and nothing is going on."""
    try:
        answer = ask_daemon(do="status")
    except OSError:
        return None
    assert answer["ok"], answer
    return answer if answer["rollout"] is None else None


# --- Waiting ------------------------------------------------------------------------------------


def wait(what, ready, seconds=30):
    """What `ready` gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while True:
        value = ready()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


# --- Files --------------------------------------------------------------------------------------


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def read(path):
    with open(path) as f:
        return f.read()


def private(*folders):
    """They are empty here, whatever the machine has there, and gone with the sandbox. Units see the same."""
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
        must("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)


# --- Units --------------------------------------------------------------------------------------


def show(unit, prop):
    return must("systemctl", "show", "--property=" + prop, "--value", unit)


def pid_of(unit):
    """Of its main process; 0: it does not run."""
    return int(show(unit, "MainPID"))


def argv_of(pid):
    """The words with which a process was started."""
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return [word.decode() for word in f.read().split(b"\0")[:-1]]


def environ_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return dict(word.decode().split("=", 1) for word in f.read().split(b"\0") if b"=" in word)


def unit_as_shipped(build, name, program):
    write(f"/run/systemd/system/{name}", re.sub(r"/\S*/libexec/dream-[a-z]+", program, read(f"{build}/data/{name}")))


def install_connect(build):
    """dream-connect as it is shipped, around the program that was built; where its unit can see it."""
    shutil.copy(f"{build}/dream-connect", "/run/dream-connect")
    for name in ("dream-connect.socket", "dream-connect.service"):
        unit_as_shipped(build, name, "/run/dream-connect")


def units_as_shipped(build, source):
    """The units of data/ as they would be installed, around the programs of the build; in the sandbox these may be where
    PrivateTmp= and ProtectHome= would hide them. The group and the folders that an installation makes, too."""
    install_connect(build)
    for name in ("dream.service", "dream-helper.socket", "dream-helper.service", "dream-recover.service"):
        unit_as_shipped(build, name, f"{build}/dream-helper")
        if name.endswith(".service"):
            write(f"/run/systemd/system/{name}.d/visible.conf", "[Service]\nPrivateTmp=no\nProtectHome=no\n")
    with open("/etc/group", "a") as f:
        f.write("dream-approvers:x:4400:\n")
    must("systemd-tmpfiles", "--create", f"{source}/data/dream-tmpfiles.conf")

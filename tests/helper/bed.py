"""What the tests of dream-helper stand on: a systemd of their own, units that show what they were started with, the units of
data/ around the program that was built, and the protocol."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../run"), os.path.join(HERE, "../sandbox")]
from box import argv_of as argv_of_process, as_user, environ_of as environ_of_process, must, pid_of, private, sh, show, wait, write
from tap import run_cases

ROOT = os.path.abspath(os.path.join(HERE, "../.."))
HELPER = os.environ["DREAM_HELPER"]
ADOPT = os.environ["DREAM_ADOPT"]
SOCKET = "/run/dream-helper.sock"
STATE = "/var/lib/dream-production"
ADOPTED = "/etc/dream/adopted"
UNITS = "/etc/systemd/system"
DREAM_UID = 900
PRIVATE = ("/etc/dream", STATE, "/srv")


# --- The machine --------------------------------------------------------------------------------


def install(helper=HELPER):
    """The units of data/, around this program."""
    for name in ("dream-helper.socket", "dream-helper.service", "dream-recover.service"):
        text = open(f"{ROOT}/data/{name}").read()
        write(f"{UNITS}/{name}", text.replace("/usr/libexec/dream-helper", helper))
    must("systemctl", "daemon-reload")
    must("systemctl", "start", "dream-helper.socket")


def boot():
    """What a test begins with, once: the private folders and the helper behind its socket."""
    sh("systemctl", "start", "sandbox.target", "--no-block")
    private(*PRIVATE)
    # In the sandbox the program may be where units with ProtectHome= or PrivateTmp= cannot see it.
    shutil.copy(HELPER, "/srv/dream-helper")
    os.chmod("/srv/dream-helper", 0o755)
    install("/srv/dream-helper")


def unit(name, service, section=""):
    write(f"{UNITS}/{name}", f"[Unit]\n{section}\n[Service]\n{service}\n")


def adopt(name, *wishes):
    must("systemctl", "daemon-reload")
    must(ADOPT, name, *wishes)
    must("systemctl", "daemon-reload")


def process_of(name):
    """A unit that says nothing of its start is started before its process executes the unit's program."""
    pid, manager = pid_of(name), os.readlink("/proc/1/exe")
    wait(f"{name} is its program", lambda: os.readlink(f"/proc/{pid}/exe") != manager)
    return pid


def argv_of(name):
    return argv_of_process(process_of(name))


def environ_of(name):
    return environ_of_process(process_of(name))


def tree(*folders):
    """Every file of the folders with all that counts: to see that nothing changed."""
    seen = {}
    for folder in folders:
        for at, dirs, files in os.walk(folder):
            for name in dirs + files:
                path = os.path.join(at, name)
                st = os.lstat(path)
                what = os.readlink(path) if os.path.islink(path) else open(path, "rb").read() if os.path.isfile(path) else ""
                seen[path] = (st.st_mode, st.st_uid, st.st_gid, what)
    return seen


# --- The protocol -------------------------------------------------------------------------------


class Refused(Exception):
    def __init__(self, reply):
        super().__init__(f"{reply.get('error')}: {reply.get('message')}")
        self.error = reply.get("error")


class Client:
    def __init__(self, path=SOCKET, timeout=30, connected=None):
        self.s = connected or socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(timeout)
        if not connected:
            self.s.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, packet):
        self.s.send(packet if isinstance(packet, bytes) else json.dumps(packet).encode())

    def receive(self):
        data = self.s.recv(1 << 17)
        if not data:
            raise ConnectionResetError("the helper has closed the connection")
        return json.loads(data)

    def ask(self, do, **members):
        self.send({"do": do, **members})
        reply = self.receive()
        if not reply.pop("ok"):
            raise Refused(reply)
        return reply

    def refused(self, do, **members):
        """The error with which it is refused."""
        try:
            reply = self.ask(do, **members)
        except Refused as e:
            return e.error
        raise AssertionError(f"{do} {members} was done: {reply}")


def alone(case):
    """A change that a failed case leaves open is not the next one's."""
    def run():
        try:
            return case()
        except BaseException:
            with Client() as c:
                c.ask("undo")
            raise
    run.__name__ = case.__name__
    return run

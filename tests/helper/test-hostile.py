#!/usr/bin/python3
"""A daemon that was taken over: it has the daemon's uid, speaks the protocol of dream-helper and gets everything wrong on
purpose. Afterwards production and /etc are byte for byte what they were, and no unit was touched."""
import array
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bed import *

SEED = int(os.environ.get("SEED", "1"))
SOAK = bool(os.environ.get("DREAM_SOAK"))
RANDOM_PACKETS = 100000 if SOAK else 3000
CONNECTIONS = 20000 if SOAK else 2000
WATCHED = ("/etc/systemd/system", "/etc/dream", STATE)
BYSTANDERS = ("judge.service", "app.service", "other.service", "dbus.service")


def set_up():
    boot()
    write("/srv/server", "#!/usr/bin/python3\nimport time\nwhile True: time.sleep(1000)\n", 0o755)
    unit("judge.service", "ExecStart=/srv/server --util 0.50\n")
    unit("other.service", "ExecStart=/srv/server --util 0.50\n")
    unit("llm@.service", "ExecStart=/srv/server --util 0.50 --name %i\n")
    # A file that the service itself reads, in a folder that belongs to the attacker.
    write("/srv/home/app.conf.env", "MODEL=small\n")
    os.chown("/srv/home", DREAM_UID, DREAM_UID)
    unit("app.service", "ExecStart=/srv/server\n")
    adopt("judge.service", "util=--util 0.3..0.95")
    adopt("app.service", "model=/srv/home/app.conf.env:MODEL tiny,small")
    adopt("llm@gpu0.service", "llm_util=--util 0.3..0.95")
    for name in ("judge", "other", "app"):
        must("systemctl", "restart", name + ".service")
    with Client() as c:
        now = c.ask("status")["current"]
        c.ask("prepare", values={"util": "0.60"})
        c.ask("begin", rollout="honest", **{"from": now})
        c.ask("undo")


def current():
    return os.readlink(STATE + "/current")[4:]


def prepared():
    return next(g for g in sorted(os.listdir(STATE + "/gen")) if g != current())


def nothing_happens(body, watched=WATCHED):
    """Runs body() as the daemon's user; everything is as before."""
    before = tree(*watched), [show(u, "InvocationID") for u in BYSTANDERS]
    as_user(DREAM_UID, body)
    after = tree(*watched), [show(u, "InvocationID") for u in BYSTANDERS]
    assert before[0] == after[0], [p for p in {**before[0], **after[0]} if before[0].get(p) != after[0].get(p)]
    assert before[1] == after[1]
    with Client() as c:  # and it still serves
        assert c.ask("status")["change"] is None


# --- Cases --------------------------------------------------------------------------------------


def units_that_are_not_adopted_are_not_touched():
    names = ["other.service", "dbus.service", "systemd-journald.service", "dream-helper.service", "dream-recover.service",
             "sandbox-command.service", "llm@gpu1.service", "llm@.service", "judge@x.service", "JUDGE.service", "judge.service.service",
             "../judge.service", "/etc/systemd/system/judge.service", "judge.service/../other.service", "reboot.target", "-.slice",
             "judge.service\n", "judge.service ", " judge.service", "judge.service\0", "*.service", "j*.service", "judge", "", "user@0.service"]

    def body():
        with Client() as c:
            for name in names:
                for do, members in (("restart", {"unit": name}), ("readback", {"unit": name}), ("cold", {"units": [name]}),
                                    ("cold", {"units": ["judge.service", name]})):
                    assert c.refused(do, **members) in ("EPERM", "EINVAL", "EBADMSG"), (do, name)

    nothing_happens(body)


def values_that_root_did_not_allow_are_refused():
    values = ["0.29", "0.951", "1e9", "nan", "inf", "-1", "0x0.8p0 ", "", " 0.5", "0.5 ", "0.5\n", "0.5\nLD_PRELOAD=/tmp/x.so", "0.5\0", "0,5",
              "$(id)", "`id`", "${HOME}", "%i", "0.5;reboot", "0.5 --trust-remote-code", "'0.5'", "\"0.5\"", "--util", "a" * 129, "\u202e0.5",
              "０.５", 0.5, None, True, [], {}, ["0.5"], {"v": "0.5"}, "0.5\\", "0.5#", "0.5\r", "\x7f"]

    def body():
        with Client() as c:
            for v in values:
                assert c.refused("prepare", values={"util": v}) in ("EPERM", "EINVAL", "EBADMSG"), v
            for v in ("large", "TINY", "../tiny", "/etc/shadow"):
                assert c.refused("prepare", values={"model": v}) == "EPERM", v

    nothing_happens(body)


def names_that_are_no_parameters_are_refused():
    names = ["LD_PRELOAD", "PATH", "DREAM_UTIL", "util\nLD_PRELOAD", "util=1\nLD_PRELOAD", "../util", "ExecStart", "", "judge.service", "UTIL",
             "--util", "util ", "a" * 65, "__proto__", "MODEL", "/srv/home/app.conf.env:MODEL"]

    def body():
        with Client() as c:
            for name in names:
                assert c.refused("prepare", values={name: "0.5"}) in ("EPERM", "EINVAL"), name
                assert c.refused("prepare", values={"util": "0.5", name: "0.5"}) in ("EPERM", "EINVAL"), name
            for o in ([], "util=0.5", {}, None, 7, [["util", "0.5"]], {f"p{i}": "1" for i in range(65)}):
                assert c.refused("prepare", values=o) == "EINVAL", o

    nothing_happens(body)


def a_flip_needs_a_change_and_a_generation_that_is_there():
    now, other = current(), prepared()
    ids = ["../../../etc/passw", "../" + now[3:], now + "/", "/" + now[1:], ".." + now[2:], now.upper() if now.upper() != now else "G" * 16,
           now[:15], now + "0", "", "current", 7, None, [now], "0" * 16]

    def body():
        with Client() as c:
            assert c.refused("flip", rollout="honest", to=other) == "EPERM"
            assert c.refused("commit", rollout="honest") == "EPERM"
            assert c.refused("begin", rollout="evil", **{"from": other}) == "ESTALE"
            for i in ids:
                assert c.refused("flip", rollout="evil", to=i) in ("EPERM", "EINVAL", "ENOENT"), i
                assert c.refused("begin", rollout="evil", **{"from": i}) in ("EINVAL", "ESTALE", "ENOENT"), i
            for name in ("../evil", "a b", "a\nb", "", "x" * 64, 5, None, "a/b", "\u202e"):
                assert c.refused("begin", rollout=name, **{"from": now}) == "EINVAL", name

    nothing_happens(body)


def the_change_of_another_is_not_flipped_or_committed():
    now, other = current(), prepared()
    with Client() as c:
        c.ask("begin", rollout="honest", **{"from": now})
    before = tree(*WATCHED)

    def body():
        with Client() as c:
            assert c.refused("flip", rollout="evil", to=other) == "EPERM"
            assert c.refused("commit", rollout="evil") == "EPERM"
            assert c.refused("begin", rollout="evil", **{"from": now}) == "EBUSY"
            assert c.refused("flip", rollout="honest", to="f" * 16) == "ENOENT"

    as_user(DREAM_UID, body)
    assert tree(*WATCHED) == before
    with Client() as c:
        c.ask("undo")


def a_generation_that_root_did_not_make_is_not_flipped_to():
    """As if the attacker had got a folder into gen/ after all: what it says is not what root allows."""
    fake = "f" * 16
    shutil.copytree(f"{STATE}/gen/{current()}", f"{STATE}/gen/{fake}")
    text = open(f"{STATE}/gen/{fake}/values.json").read()
    assert '"0.50"' in text
    write(f"{STATE}/gen/{fake}/values.json", text.replace('"0.50"', '"0.99"'))
    with Client() as c:
        now = current()
        c.ask("begin", rollout="evil", **{"from": now})
        error = c.refused("flip", rollout="evil", to=fake)
        assert error in ("EPERM", "EBADMSG"), error
        assert current() == now
        c.ask("undo")
    shutil.rmtree(f"{STATE}/gen/{fake}")


def a_link_in_the_place_of_a_file_is_not_copied():
    secret = "/srv/secret"
    write(secret, "MODEL=small\nROOT_ONLY=1\n", 0o600)

    def plant(make):
        def body():
            os.rename("/srv/home/app.conf.env", "/srv/home/away")
            make("/srv/home/app.conf.env")
            try:
                with Client() as c:
                    error = c.refused("prepare", values={"model": "tiny"})
                    assert error in ("ELOOP", "ESTALE", "EINVAL", "ENXIO", "EACCES", "EPERM", "ENOENT"), error
            finally:
                if os.path.isdir("/srv/home/app.conf.env"):
                    os.rmdir("/srv/home/app.conf.env")
                else:
                    os.unlink("/srv/home/app.conf.env")
        return body

    os.chmod("/srv/home/app.conf.env", 0o644)
    for make in (lambda p: os.symlink(secret, p), lambda p: os.symlink("/etc/shadow", p), os.mkfifo, os.mkdir,
                 lambda p: os.symlink("/dev/zero", p), lambda p: write(p, "MODEL=small\nLD_PRELOAD=/srv/home/x.so\n"),
                 lambda p: os.symlink("/proc/self/environ", p)):
        nothing_happens(plant(make))
        os.rename("/srv/home/away", "/srv/home/app.conf.env")
    for at, _, files in os.walk(STATE):
        for name in files:
            text = open(os.path.join(at, name), "rb").read()
            assert b"ROOT_ONLY" not in text and b"LD_PRELOAD" not in text, name


def an_adoption_that_others_could_write_is_not_believed():
    path = f"{ADOPTED}/judge.service.json"
    text = open(path).read()

    def refused():
        with Client() as c:
            for do, members in (("restart", {"unit": "judge.service"}), ("prepare", {"values": {"util": "0.5"}})):
                assert c.refused(do, **members) in ("EPERM", "ELOOP", "EINVAL", "EBADMSG", "EACCES"), do

    def back():
        if os.path.lexists(path):
            os.unlink(path)
        write(path, text)

    os.chmod(path, 0o666)
    refused()
    back()
    os.chown(path, DREAM_UID, DREAM_UID)
    refused()
    back()
    os.unlink(path)
    write("/srv/home/judge.json", text)
    os.symlink("/srv/home/judge.json", path)
    refused()
    back()
    write(path, text[:-40])
    refused()
    back()
    os.chmod(ADOPTED, 0o777)
    refused()
    os.chmod(ADOPTED, 0o755)
    os.chmod(STATE, 0o777)
    with Client() as c:
        assert c.refused("undo") == "EPERM"
    os.chmod(STATE, 0o755)
    with Client() as c:
        c.ask("status")


def what_is_no_request_is_refused_and_the_next_one_is_heard():
    packets = [b"\0", b"{", b"[]", b"null", b"\"status\"", b"{}", b"\xff\xfe", b"{\"do\": \"status\"}{\"do\": \"undo\"}", b"{\"do\": \"status\", \"do\": \"undo\"}",
               b"[" * 60000, b"{\"a\":" * 10000, b" " * 65536, b"\"" + b"a" * 65534 + b"\"", b"{\"do\": \"status\", \"x\": 1}", b"{\"do\": [\"status\"]}",
               b"{\"do\": \"exec\", \"argv\": [\"/bin/sh\"]}", b"{\"do\": \"status\\u0000\"}", b"{\"do\": \"STATUS\"}",
               b"{\"do\": \"write\", \"path\": \"/etc/passwd\"}", b"GET / HTTP/1.1\r\n\r\n", b"a" * 65537, b"b" * 200000]

    def body():
        for packet in packets:
            with Client() as c:
                c.send(packet)
                assert c.receive()["ok"] is False, packet[:40]
                assert "current" in c.ask("status")

    nothing_happens(body)


def descriptors_that_are_sent_along_are_not_taken():
    def body():
        with Client() as c:
            for _ in range(300):
                fds = array.array("i", [0, 1, 2] * 20)
                c.s.sendmsg([b"{\"do\": \"status\"}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
                assert c.receive()["ok"]

    nothing_happens(body)
    assert len(os.listdir(f"/proc/{pid_of('dream-helper.service')}/fd")) < 32


def thousands_of_connections_keep_nobody_else_out():
    def body():
        held = []
        for i in range(CONNECTIONS):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(5)
            try:
                s.connect(SOCKET)
                s.send(b"{\"do\": \"status\"}")
            except OSError:
                s.close()
                continue
            held.append(s)
            if len(held) > 400:
                held.pop(0).close()

    nothing_happens(body)
    # While the attacker has all that one user can have, root is heard.
    held = os.fork()
    if held == 0:
        os.setgid(DREAM_UID)
        os.setuid(DREAM_UID)
        mine = []
        for _ in range(50):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(SOCKET)
            mine.append(s)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(held, os.WUNTRACED)
    try:
        with Client() as c:
            assert "current" in c.ask("status")
    finally:
        os.kill(held, signal.SIGKILL)
        os.waitpid(held, 0)


def who_does_not_read_its_answers_holds_up_nobody():
    def body():
        clients = [Client() for _ in range(6)]
        for c in clients:
            c.s.setblocking(False)
            try:
                for _ in range(10000):
                    c.send({"do": "status"})
            except BlockingIOError:
                pass
        with Client() as c:
            for _ in range(20):
                assert "current" in c.ask("status")
        for c in clients:
            c.s.close()

    nothing_happens(body)


def packets_at_random_change_nothing():
    r = random.Random(SEED)
    print(f"# SEED={SEED}, {RANDOM_PACKETS} packets")
    seeds = [json.dumps(x).encode() for x in (
        {"do": "status"}, {"do": "prepare", "values": {"nothing": "0.5"}}, {"do": "begin", "rollout": "zz", "from": "0123456789abcdef"},
        {"do": "flip", "rollout": "zz", "to": prepared()}, {"do": "restart", "unit": "other.service"},
        {"do": "cold", "units": ["other.service", "dbus.service"]}, {"do": "readback", "unit": "other.service"}, {"do": "commit", "rollout": "zz"})]

    def mutate():
        p = bytearray(r.choice(seeds))
        for _ in range(r.randrange(4)):
            at = r.randrange(len(p) + 1)
            kind = r.randrange(5)
            if kind == 0:
                p[at:at] = bytes([r.randrange(256)])
            elif kind == 1:
                del p[at:at + r.randrange(1, 6)]
            elif kind == 2:
                other = r.choice(seeds)
                p[at:at] = other[r.randrange(len(other)):]
            elif kind == 3 and at < len(p):
                p[at] ^= 1 << r.randrange(8)
            else:
                p[at:at] = r.choice([b"../", b"\0", b"\\u0000", b"{", b"]", b"1e999", b"\"", b"\n", b"other.service", b"\xf0\x9f\x92\xa9"])
        return bytes(p) or b" "

    def body():
        left = RANDOM_PACKETS
        while left:
            with Client() as c:
                for _ in range(min(left, 500)):
                    left -= 1
                    c.send(mutate())
                    reply = c.receive()
                    assert reply["ok"] is False or "current" in reply, reply

    nothing_happens(body)


def it_has_not_grown():
    status = open(f"/proc/{pid_of('dream-helper.service')}/status").read()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1])
    print(f"# the helper's largest size was {peak} KiB")
    assert peak < 32 << 10
    assert show("dream-helper.service", "NRestarts") == "0" and show("dream-helper.service", "Result") == "success"


set_up()
run_cases([
    units_that_are_not_adopted_are_not_touched,
    values_that_root_did_not_allow_are_refused,
    names_that_are_no_parameters_are_refused,
    a_flip_needs_a_change_and_a_generation_that_is_there,
    the_change_of_another_is_not_flipped_or_committed,
    a_generation_that_root_did_not_make_is_not_flipped_to,
    a_link_in_the_place_of_a_file_is_not_copied,
    an_adoption_that_others_could_write_is_not_believed,
    what_is_no_request_is_refused_and_the_next_one_is_heard,
    descriptors_that_are_sent_along_are_not_taken,
    thousands_of_connections_keep_nobody_else_out,
    who_does_not_read_its_answers_holds_up_nobody,
    packets_at_random_change_nothing,
    it_has_not_grown,
])

#!/usr/bin/python3
"""Silent no-ops: changes of production that systemd reports as done, and that did nothing, or something else. Each is really
made under a real systemd, every command of systemd that has a part in it ends with 0, and the readback finds it."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bed import *

SVC = "svc.service"
FLAG = ("--util 0.50", "util=--util 0.1..0.95", {"util": "0.60"})
ENV = ("", "size=SIZE tiny,base,small", {"size": "tiny"})
SERVER = "#!/usr/bin/python3\nimport time\nwhile True: time.sleep(1000)\n"


# --- A change, with something wrong in it -------------------------------------------------------


class Bed:
    """One adopted unit that runs its committed value, and a change that is flipped to and not restarted yet."""

    def __init__(self, service, wish, values, name=SVC, section="", files=(), reload_after=True, kind_of=None):
        self.name = name
        for path, text in files:
            write(path, text, 0o755)
        unit(kind_of or name, service, section)
        must("systemctl", "daemon-reload")
        must("systemctl", "start", name)  # so that the manager keeps it loaded
        must(ADOPT, name, wish)
        if reload_after:
            must("systemctl", "daemon-reload")
        must("systemctl", "restart", name)
        self.c = Client()
        if reload_after:
            self.right("before the change")
        self.values = values

    def right(self, when):
        """A wrapper needs a moment to become the program: the manager calls the unit started before that."""
        wait(when, lambda: self.c.ask("readback", unit=self.name)["readback"]["same"])

    def flip(self):
        now = self.c.ask("status")["current"]
        to = self.c.ask("prepare", values=self.values)["generation"]
        self.c.ask("begin", rollout="r", **{"from": now})
        self.c.ask("flip", rollout="r", to=to)

    def restart(self):
        must("systemctl", "daemon-reload")
        must("systemctl", "restart", self.name)

    def found(self, *words):
        """Never taken for right, and once the unit's process is what the manager started, for the right reason."""
        last = []

        def look():
            back = self.c.ask("readback", unit=self.name)
            assert back["readback"]["same"] is False, back
            last[:] = [back["readback"]["words"]]
            return last[0] and any(w in last[0] for w in words)
        try:
            wait(f"one of {words}", look)
        finally:
            print("#  ", *last)

    def close(self):
        if self.c.ask("status")["change"]:
            self.c.ask("undo")
        self.c.s.close()


def wipe():
    for name in ("svc.service", "llm@gpu0.service", "llm@gpu1.service"):
        sh("systemctl", "stop", name)
        sh("systemctl", "reset-failed", name)
    for pid in open("/run/strays").read().split() if os.path.exists("/run/strays") else ():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    for folder in (UNITS, "/run/systemd/system", "/etc/systemd/system.control"):
        for entry in os.listdir(folder) if os.path.isdir(folder) else ():
            if entry.startswith(("svc", "llm@")):
                path = os.path.join(folder, entry)
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    for folder in (STATE, ADOPTED):
        for entry in os.listdir(folder) if os.path.isdir(folder) else ():
            path = os.path.join(folder, entry)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    must("systemctl", "daemon-reload")


def flag(section="", extra="", program="/srv/server", **more):
    return Bed(f"{extra}\nExecStart={program} {FLAG[0]}\n", FLAG[1], FLAG[2], section=section, **more)


def env(section="", extra="", program="/srv/server", **more):
    return Bed(f"{extra}\nEnvironment=SIZE=small\nExecStart={program}\n", ENV[1], ENV[2], section=section, **more)


def key():
    """A file that the program reads itself."""
    return Bed("ExecStart=/srv/server\n", "size=/srv/app.env:SIZE tiny,base,small", {"size": "tiny"},
               files=[("/srv/app.env", "SIZE=small\nTOKEN=s3cret\n")])


def config(program="/srv/server"):
    return Bed(f"ExecStart={program} --config /srv/c.yaml\n", "util=--config:gpu_memory_utilization 0.1..0.95", {"util": "0.60"},
               files=[("/srv/c.yaml", "gpu_memory_utilization: 0.50\n")])


def ours(name=SVC):
    return f"{UNITS}/{name}.d/zz-dream.conf"


def edit_ours(old, new):
    text = open(ours()).read()
    assert old in text, (old, text)
    write(ours(), text.replace(old, new))


def late(text, folder=UNITS, name=SVC):
    write(f"{folder}/{name}.d/zzz-late.conf", text)


def data_file(name=SVC):
    return f"{STATE}/current/{name}.env"


def wrapper(text):
    write("/srv/wrap", text, 0o755)
    return "/srv/wrap"


# --- Our drop-in --------------------------------------------------------------------------------


def a_misspelled_key_in_the_drop_in():
    b = flag()
    b.flip()
    edit_ours("EnvironmentFile=", "EnvironmentFiel=")
    b.restart()
    b.found("empty")
    return b


def a_value_in_the_drop_in_that_systemd_ignores():
    b = flag()
    b.flip()
    edit_ours("EnvironmentFile=/", "EnvironmentFile=./")
    b.restart()
    b.found("empty")
    return b


def a_drop_in_whose_name_does_not_end_in_conf():
    b = flag()
    b.flip()
    os.rename(ours(), ours() + ".bak")
    b.restart()
    b.found("does not read")
    return b


def a_drop_in_that_was_taken_away():
    b = env()
    b.flip()
    os.unlink(ours())
    b.restart()
    b.found("does not read")
    return b


def a_section_header_that_is_wrong():
    b = env()
    b.flip()
    edit_ours("[Service]", "[service]")
    b.restart()
    b.found("size should be tiny")
    return b


def a_drop_in_that_systemd_was_not_told_of():
    b = flag(reload_after=False)
    b.flip()
    must("systemctl", "restart", SVC)
    b.found("does not read", "should be 0.60")
    return b


# --- Drop-ins of others -------------------------------------------------------------------------


def a_later_drop_in_with_a_command_of_its_own():
    b = flag()
    b.flip()
    late("[Service]\nExecStart=\nExecStart=/srv/server --util 0.50\n")
    b.restart()
    b.found("adopted", "should be 0.60")
    return b


def a_later_drop_in_below_run():
    b = flag()
    b.flip()
    late("[Service]\nExecStart=\nExecStart=/srv/server --util 0.50\n", "/run/systemd/system")
    b.restart()
    b.found("adopted", "should be 0.60")
    return b


def a_later_file_of_variables():
    b = env()
    b.flip()
    write("/srv/late.env", "SIZE=base\n")
    late("[Service]\nEnvironmentFile=/srv/late.env\n")
    b.restart()
    b.found("adopted", "is base")
    return b


def a_later_reset_of_the_files_of_variables():
    b = env()
    b.flip()
    late("[Service]\nEnvironmentFile=\n")
    b.restart()
    b.found("is small", "adopted")
    return b


def a_variable_that_is_unset_at_the_end():
    b = env()
    b.flip()
    late("[Service]\nUnsetEnvironment=SIZE\n")
    b.restart()
    b.found("not set", "adopted")
    return b


def a_later_bind_that_is_reset():
    b = key()
    b.flip()
    late("[Service]\nBindReadOnlyPaths=\n")
    b.restart()
    b.found("is small")
    return b


def a_variable_in_front_of_the_files_key():
    b = key()
    b.flip()
    late("[Service]\nEnvironment=SIZE=base\n")
    b.restart()
    b.found("is base", "adopted")
    return b


def a_drop_in_of_the_whole_template():
    b = Bed(f"ExecStart=/srv/server {FLAG[0]}\n", FLAG[1], FLAG[2], name="llm@gpu0.service", kind_of="llm@.service")
    b.flip()
    late("[Service]\nExecStart=\nExecStart=/srv/server --util 0.50\n", name="llm@.service")
    b.restart()
    b.found("adopted", "should be 0.60")
    return b


def a_variable_that_the_command_takes_away():
    b = env()
    b.flip()
    late("[Service]\nExecStart=\nExecStart=/usr/bin/env -u SIZE /srv/server\n")
    b.restart()
    b.found("not set", "adopted")
    return b


# --- The unit -----------------------------------------------------------------------------------


def a_unit_that_was_edited_and_is_shadowed():
    """The edit has no effect: our drop-in replaces the command. Nobody would notice."""
    b = flag()
    b.flip()
    unit(SVC, "ExecStart=/srv/server --util 0.50 --max-model-len 4096\n")
    b.restart()
    b.found("adopted")
    return b


def a_variable_in_the_unit_that_was_edited():
    b = env()
    b.flip()
    unit(SVC, "Environment=SIZE=base\nExecStart=/srv/server\n")
    b.restart()
    b.found("adopted")
    return b


def a_unit_of_the_same_name_that_is_read_first():
    b = flag()
    b.flip()
    write(f"/etc/systemd/system.control/{SVC}", "[Service]\nExecStart=/srv/server --util 0.50 --other\n")
    b.restart()
    b.found("adopted")
    return b


def a_masked_unit_whose_process_goes_on():
    b = flag()
    b.flip()
    os.unlink(f"{UNITS}/{SVC}")
    os.symlink("/dev/null", f"{UNITS}/{SVC}")
    must("systemctl", "daemon-reload")
    b.found("masked", "older", "no files", "does not read")
    return b


def a_condition_that_skips_the_start():
    b = flag()
    b.flip()
    late("[Unit]\nConditionPathExists=/no/such/file\n")
    b.restart()
    b.found("no process")
    return b


def an_exec_condition_that_says_no():
    b = flag()
    b.flip()
    late("[Service]\nExecCondition=/bin/false\n")
    b.restart()
    b.found("no process")
    return b


def a_unit_that_is_active_and_has_no_process():
    b = flag(program=wrapper(SERVER))
    b.flip()
    wrapper("#!/bin/true\n")
    late("[Service]\nType=oneshot\nRemainAfterExit=yes\n")
    b.restart()
    assert show(SVC, "ActiveState") == "active"
    b.found("no process")
    return b


# --- Data files ---------------------------------------------------------------------------------


def a_data_file_with_an_empty_value():
    b = flag()
    b.flip()
    write(data_file(), "DREAM_UTIL=\n")
    b.restart()
    b.found("empty")
    return b


def a_data_file_with_garbage():
    b = flag()
    b.flip()
    write(data_file(), "\x01\x02 this is = nothing\n")
    b.restart()
    b.found("empty")
    return b


def a_data_file_as_a_shell_would_have_it():
    b = flag()
    b.flip()
    write(data_file(), "export DREAM_UTIL=0.60\n")
    b.restart()
    b.found("empty")
    return b


def a_data_file_whose_comment_takes_the_next_line_along():
    b = flag()
    b.flip()
    write(data_file(), "# a note \\\nDREAM_UTIL=0.60\n")
    b.restart()
    b.found("empty")
    return b


def a_link_that_was_moved_by_hand_after_the_restart():
    b = flag()
    before = os.readlink(STATE + "/current")
    b.flip()
    b.restart()
    b.right("after the restart")
    os.unlink(STATE + "/current")
    os.symlink(before, STATE + "/current")
    b.found("should be 0.50")
    return b


# --- What was not restarted ---------------------------------------------------------------------


def a_reload_that_does_nothing():
    b = flag(extra="ExecReload=/bin/true")
    b.flip()
    must("systemctl", "daemon-reload")
    must("systemctl", "reload", SVC)
    b.found("older")
    return b


def a_start_of_what_runs_already():
    b = env()
    b.flip()
    must("systemctl", "start", SVC)
    b.found("older")
    return b


def a_signal_that_nobody_hears():
    b = flag(program=wrapper(SERVER.replace("import time", "import signal, time\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)")))
    wait("it does not mind", lambda: int(re.search(r"SigIgn:\s+(\w+)", open(f"/proc/{pid_of(SVC)}/status").read())[1], 16) & 1)
    b.flip()
    must("systemctl", "kill", "--signal=HUP", SVC)
    b.found("older")
    return b


def a_try_restart_of_what_was_stopped():
    b = flag()
    b.flip()
    must("systemctl", "stop", SVC)
    must("systemctl", "try-restart", SVC)
    b.found("no process")
    return b


def a_restart_before_the_flip():
    b = env()
    must("systemctl", "restart", SVC)
    time.sleep(0.03)  # the kernel tells starts in hundredths of a second
    b.flip()
    b.found("older")
    return b


def a_restart_of_another_instance():
    b = Bed(f"ExecStart=/srv/server {FLAG[0]}\n", FLAG[1], FLAG[2], name="llm@gpu0.service", kind_of="llm@.service")
    b.flip()
    must("systemctl", "restart", "llm@gpu1.service")
    b.found("older")
    return b


def a_restart_that_is_not_waited_for():
    b = flag(extra="Type=exec")
    b.flip()
    late("[Service]\nExecStartPre=/bin/sleep 1000\n")
    must("systemctl", "daemon-reload")
    must("systemctl", "restart", "--no-block", SVC)
    wait("it is being started", lambda: show(SVC, "SubState") == "start-pre")
    b.found("no process")
    must("systemctl", "stop", SVC)
    return b


def an_old_process_that_survives_the_restart():
    """The start script finds its server running and is content."""
    write("/srv/real", SERVER, 0o755)
    program = wrapper("#!/bin/sh\nif ! { [ -e /run/real.pid ] && kill -0 $(cat /run/real.pid); }; then\n"
                      "/srv/real \"$@\" & echo $! >/run/real.pid; echo $! >>/run/strays; fi\ncp /run/real.pid /run/svc.pid\n")
    b = flag(extra="Type=forking\nPIDFile=/run/svc.pid\nKillMode=none\nGuessMainPID=no", program=program)
    b.flip()
    b.restart()
    assert show(SVC, "ActiveState") == "active"
    b.found("older")
    return b


# --- Programs -----------------------------------------------------------------------------------


def a_wrapper_that_drops_the_flag():
    b = flag(program=wrapper("#!/bin/sh\n/srv/server \"$@\"\n:\n"))
    b.flip()
    wrapper("#!/bin/sh\n/srv/server\n:\n")
    b.restart()
    wait("the wrapper has started it", lambda: b"/srv/server" in b"".join(
        open(f"/proc/{pid}/cmdline", "rb").read() for pid in sh("pgrep", "-P", show(SVC, "MainPID")).split()))
    b.found("not set")
    return b


def a_wrapper_with_a_value_of_its_own():
    b = flag(program=wrapper("#!/bin/sh\nexec /srv/server \"$@\"\n"))
    b.flip()
    wrapper("#!/bin/sh\nexec /srv/server --util 0.50\n")
    b.restart()
    wait("the wrapper is through", lambda: "0.50" in argv_of(SVC))
    b.found("is 0.50")
    return b


def a_wrapper_that_says_it_again():
    b = flag(program=wrapper("#!/bin/sh\nexec /srv/server \"$@\"\n"))
    b.flip()
    wrapper("#!/bin/sh\nexec /srv/server \"$@\" --util=0.50\n")
    b.restart()
    wait("the wrapper is through", lambda: "--util=0.50" in argv_of(SVC))
    b.found("twice")
    return b


def a_wrapper_that_empties_the_environment():
    b = env(program=wrapper("#!/bin/sh\nexec /srv/server\n"))
    b.flip()
    wrapper("#!/bin/sh\nexec env -i PATH=$PATH /srv/server\n")
    b.restart()
    wait("the wrapper is through", lambda: "/srv/server" in argv_of(SVC))
    b.found("not set")
    return b


def a_program_that_changes_its_environment_and_starts_itself_again():
    b = env(program=wrapper(SERVER))
    b.flip()
    wrapper("#!/usr/bin/python3\nimport os, sys, time\nif os.environ['SIZE'] != 'base': os.execve(sys.argv[0], sys.argv + ['again'], "
            "{**os.environ, 'SIZE': 'base'})\nwhile True: time.sleep(1000)\n")
    b.restart()
    wait("it has done so", lambda: "again" in argv_of(SVC))
    b.found("is base")
    return b


def a_flag_in_front_of_the_config_file():
    b = config(program=wrapper("#!/bin/sh\nexec /srv/server \"$@\"\n"))
    b.flip()
    wrapper("#!/bin/sh\nexec /srv/server \"$@\" --gpu-memory-utilization 0.50\n")
    b.restart()
    wait("the wrapper is through", lambda: "--gpu-memory-utilization" in argv_of(SVC))
    b.found("is 0.50")
    return b


def a_config_file_that_is_not_used():
    b = config(program=wrapper("#!/bin/sh\nexec /srv/server \"$@\"\n"))
    b.flip()
    wrapper("#!/bin/sh\nexec /srv/server --config /srv/own.yaml\n")
    write("/srv/own.yaml", "gpu_memory_utilization: 0.50\n")
    b.restart()
    wait("the wrapper is through", lambda: "/srv/own.yaml" in argv_of(SVC))
    b.found("is 0.50")
    return b


def a_program_that_hides_its_command_line():
    b = flag(program=wrapper(SERVER))
    b.flip()
    write("/srv/title.c", "", 0o644)
    wrapper("#!/usr/bin/python3\nimport ctypes, os, sys, time\nlibc = ctypes.CDLL(None)\n"
            "at = [int(l.split('-')[0], 16) for l in open('/proc/self/maps') if '[stack]' in l]\n"
            "stat = open('/proc/self/stat').read().rsplit(')', 1)[1].split()\nstart, end = int(stat[45]), int(stat[46])\n"
            "ctypes.memset(start, 0, end - start)\nctypes.memmove(start, b'engine', 6)\nwhile True: time.sleep(1000)\n")
    b.restart()
    wait("it has its title", lambda: argv_of(SVC)[:1] == ["engine"])
    b.found("not set")
    return b


def a_unit_that_starts_again_and_again():
    """Its process has the right words at every single look; that it is another one each time is in its state."""
    b = flag(extra="Restart=always\nRestartSec=10ms", section="StartLimitIntervalSec=0", program=wrapper(SERVER))
    b.flip()
    wrapper("#!/bin/sh\nexit 1\n")
    b.restart()
    wait("it restarts", lambda: b.c.ask("readback", unit=SVC)["state"]["restarts"] > 2)
    return b


FAULTS = [f for name, f in list(globals().items()) if name.startswith(("a_", "an_")) and callable(f)]


def case(fault):
    def run():
        wipe()
        fault().close()

    run.__name__ = fault.__name__
    return run


def there_are_enough_of_them():
    assert len(FAULTS) >= 40, len(FAULTS)


boot()
write("/srv/server", SERVER, 0o755)
run_cases([there_are_enough_of_them] + [case(f) for f in FAULTS])

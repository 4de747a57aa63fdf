#!/usr/bin/python3
"""`dream init` and `dream doctor` on a simulated card with simulated servers, found as real ones are. Other servers may
run on the machine of the test: none of them is on this card."""
import json
import re

from machine import MODEL, Home, Machine, narrow, run_cases


def without_a_gpu_the_simulated_box_is_set_up_and_said_to_be_one():
    with Home() as home:
        home.env["LD_LIBRARY_PATH"] = "/nonexistent"
        done = home.dream("init")
        if "No GPU: there is no NVML" not in done.out:
            return "this machine has NVML"
        assert done.code == 0 and done.err == "", done
        assert "SIMULATED" in done.out and "looked at" in done.out, done
        narrow(done.out)
        text = (home.path / "dream.yaml").read_text()
        assert "SIMULATED" in text and (home.path / "dream-box.yaml").exists()
        for args in [["check"], ["predict"], ["run", "--dry-run"]]:
            done = home.dream(*args)
            assert done.code == 0, done


def a_file_that_is_there_stays_as_it_is():
    with Machine() as m:
        (m.path / "dream.yaml").write_text("mine")
        done = m.dream("init")
        assert done.code == 2 and "--force" in done.err and done.out == "", done
        assert (m.path / "dream.yaml").read_text() == "mine"
        assert m.dream("init", "--output", "a/folder/other.yaml").code == 0  # which is made
        assert m.dream("init", "--force").code == 0
        assert (m.path / "dream.yaml").read_text() != "mine"


def servers_on_the_card_become_a_configuration_that_checks_and_previews():
    with Machine() as m:
        vllm = m.vllm("--host", "127.0.0.1", "--api-key", "sk-sesame")
        whisper = m.whisper()
        done = m.dream("init")
        assert done.code == 0 and done.err == "", done
        narrow(done.out)
        assert "sesame" not in done.out, done
        flat = re.sub(r"\s+", " ", done.out)
        assert re.search(rf"6135 MiB, vllm, process {vllm.pid}, started by hand \(no unit, no container\), port {vllm.port}",
                         flat), done
        assert re.search(rf"1430 MiB, whispercpp, process {whisper.pid}, ", flat), done
        text = (m.path / "dream.yaml").read_text()
        assert "sesame" not in text and MODEL in text
        assert "{values: [0.4, 0.45, 0.5, 0.55, 0.6]}" in text and "{values: [tiny, base, small], ordered: true}" in text
        assert m.dream("check").code == 0
        preview = m.dream("run", "--dry-run")
        assert preview.code == 0 and "15" in preview.out, preview


def a_candidate_of_the_written_configuration_can_be_measured():
    with Machine() as m:
        vllm, whisper = m.vllm("--host", "127.0.0.1"), m.whisper()
        assert m.dream("init").code == 0
        for p in [vllm, whisper]:
            p.terminate()
            p.wait(20)
        path = m.path / "dream.yaml"
        text = path.read_text()
        # As a user would: a load that fits a box that is fifty times as fast as life.
        text = text.replace("rate: 0.7", "rate: 20").replace("requests: 60", "requests: 20").replace("capacity_max: 32", "capacity_max: 2")
        path.write_text(text)
        done = m.dream("eval")
        for _ in range(2):  # what a busy machine spoils is void, and is made again
            if "the load generator was the bottleneck" in done.out:
                done = m.dream("eval")
        assert done.code == 0, done
        assert "ok" in done.out, done


def the_doctor_tells_what_is_wrong_and_how_to_mend_it():
    with Machine() as m:
        m.vllm("--host", "0.0.0.0")
        (m.path / "dream-trial-abcdef").mkdir()
        (m.path / "dream.yaml").write_text("version: 1\nexperiment: []\n")
        done = m.dream("doctor")
        assert done.code == 1 and done.err == "", done
        narrow(done.out)
        flat = re.sub(r"\s+", " ", done.out)
        for text in ["problem ports", "-> have it listen on 127.0.0.1", "problem configuration", "ok driver"]:
            assert text in flat, (text, done)
        if "a run goes on" not in flat:
            assert "1 folder " in flat, done
        got = json.loads(m.dream("doctor", "--json").out)
        assert got["schema"] == "dream.doctor/v1"
        assert got["problems"] == sum(f["level"] == "problem" for f in got["findings"]) > 0
        assert {f["level"] for f in got["findings"]} <= {"ok", "problem", "unknown"}
        assert all(f["mend"] is None or f["mend"] for f in got["findings"])


def without_nvml_the_doctor_says_so():
    with Home() as home:
        home.env["LD_LIBRARY_PATH"] = "/nonexistent"
        done = home.dream("doctor")
        if "there is no NVML" not in done.out:
            return "this machine has NVML"
        assert done.code == 1 and "problem  driver" in done.out, done


run_cases([
    without_a_gpu_the_simulated_box_is_set_up_and_said_to_be_one,
    a_file_that_is_there_stays_as_it_is,
    servers_on_the_card_become_a_configuration_that_checks_and_previews,
    a_candidate_of_the_written_configuration_can_be_measured,
    the_doctor_tells_what_is_wrong_and_how_to_mend_it,
    without_nvml_the_doctor_says_so,
])

#!/usr/bin/python3
"""What the program says about itself: help, manual pages, completion."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from tap import SOURCE, dream, golden, run_cases

VERBS = re.findall(r"^  (\w+) ", dream("--help").out, re.M)


def the_help_lists_every_verb_of_the_program():
    assert set("check run eval predict trials show plot lineage promotions bench twin".split()) <= set(VERBS), VERBS


def the_help_of_the_program_and_of_every_verb_is_as_it_was():
    golden("help/dream.txt", dream("--help").out)
    for verb in VERBS:
        golden(f"help/{verb}.txt", dream(verb, "--help").out)


def no_line_of_help_is_wider_than_80_columns():
    for args in [["--help"]] + [[verb, "--help"] for verb in VERBS]:
        for line in dream(*args).out.splitlines():
            assert len(line) <= 80, (args, line)


def help_goes_to_standard_output_and_is_the_same_by_every_name():
    for verb in VERBS:
        texts = [dream(verb, "--help"), dream(verb, "-h"), dream("help", verb)]
        for done in texts:
            assert done.code == 0 and done.err == "" and done.out == texts[0].out, (verb, done)
            assert done.out.startswith(f"Usage: dream {verb} "), done


def the_version_is_one_line():
    done = dream("--version")
    assert done.code == 0 and re.fullmatch(r"dream \d+\.\d+\.\d+\n", done.out), done


def man_text(page):
    path = pathlib.Path(os.environ["DREAM_MAN"]) / page
    return path.read_text() if path.exists() else None


def the_manual_has_every_verb_and_every_option():
    page = man_text("dream.1")
    if page is None:
        return "scdoc is not installed"
    plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
    for verb in VERBS:
        assert f"dream {verb}" in plain, verb
        for option in re.findall(r"--[a-z-]+", dream(verb, "--help").out):
            assert option in plain, (verb, option)


def the_manual_of_the_file_has_the_fields_of_the_schema():
    page = man_text("dream.yaml.5")
    if page is None:
        return "scdoc is not installed"
    for field in ["experiments", "search_space", "max_candidates", "objectives", "services", "workloads", "memory"]:
        assert field in page, field


def every_document_that_a_verb_prints_is_described():
    text = (SOURCE / "docs" / "json.md").read_text()
    headings = " ".join(re.findall(r"^## (.*)", text, re.M))
    printed = {s for p in (SOURCE / "src" / "cli").glob("*.c") for s in re.findall(r'"(dream\.[a-z_-]+/v\d+)"', p.read_text())}
    assert len(printed) > 15
    assert not [s for s in sorted(printed) if s not in headings]


def the_manual_pages_format_without_complaint():
    if not shutil.which("groff"):
        return "groff is not installed"
    for page in ["dream.1", "dream.yaml.5"]:
        if man_text(page) is None:
            return "scdoc is not installed"
        p = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", pathlib.Path(os.environ["DREAM_MAN"]) / page],
                           stderr=subprocess.PIPE, text=True)
        assert p.returncode == 0 and p.stderr == "", p.stderr


def completion_is_valid_in(shell):
    if not shutil.which(shell):
        return f"{shell} is not installed"
    done = dream("completion", shell)
    assert done.code == 0, done
    with tempfile.NamedTemporaryFile("w", suffix="." + shell) as f:
        f.write(done.out)
        f.flush()
        p = subprocess.run([shell, "-n", f.name], env=dict(os.environ, LC_ALL="C.UTF-8"), stderr=subprocess.PIPE,
                           text=True)
    assert p.returncode == 0 and p.stderr == "", p.stderr
    for verb in VERBS:
        assert verb in done.out, verb


def bash_takes_the_completion():
    return completion_is_valid_in("bash")


def zsh_takes_the_completion():
    return completion_is_valid_in("zsh")


def fish_takes_the_completion():
    return completion_is_valid_in("fish")


def complete(*words):
    """What bash proposes for the last of the words."""
    script = dream("completion", "bash").out + f"""
COMP_WORDS=({' '.join(f"'{w}'" for w in words)})
COMP_CWORD={len(words) - 1}
_dream
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = dict(os.environ, PATH=os.path.dirname(os.environ["DREAM"]) + ":" + os.environ["PATH"])
    return subprocess.run(["bash", "-c", script], cwd=SOURCE, env=env, stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()


def fish_completes_experiments_of_the_configuration_on_the_line():
    if not shutil.which("fish"):
        return "fish is not installed"
    env = dict(os.environ, PATH=os.path.dirname(os.environ["DREAM"]) + ":" + os.environ["PATH"])
    for before in ["-c examples/rtx3060.yaml", "--config=examples/rtx3060.yaml", "examples/rtx3060.yaml"]:
        script = dream("completion", "fish").out + f"\ncomplete -C 'dream run {before} --experiment s'\n"
        out = subprocess.run(["fish", "-N", "-c", script], cwd=SOURCE, env=env, stdout=subprocess.PIPE, text=True,
                             check=True).stdout
        assert out.split()[:1] == ["spica_gpu_allocation"], (before, out)


def bash_completes_verbs_options_and_values():
    assert complete("dream", "tri") == ["trials"]
    assert complete("dream", "trials", "--be") == ["--best"]
    assert complete("dream", "trials", "--purpose", "c") == ["confirm"]
    assert "fitness-evolution" in complete("dream", "plot", "fit")
    assert complete("dream", "promotion", "i")[:1] == ["import"] and complete("dream", "baseline", "di") == ["diff"]
    assert complete("dream", "lineage", "exp") == ["export"] and complete("dream", "feedback", "b")[:1] == ["bad"]
    assert complete("dream", "rollout", "--so") == ["--socket"] == complete("dream", "rollback", "--so")


def bash_completes_experiments_of_the_configuration_on_the_line():
    example = "examples/rtx3060.yaml"
    for before in [["-c", example], ["--config", example], ["--config", "=", example], [example]]:
        assert complete("dream", "run", *before, "-e", "s") == ["spica_gpu_allocation"], before
    assert complete("dream", "run", example, "--experiment", "=") == ["spica_gpu_allocation"]
    assert complete("dream", "run", example, "--experiment", "=", "sp") == ["spica_gpu_allocation"]


run_cases([
    the_help_lists_every_verb_of_the_program,
    the_help_of_the_program_and_of_every_verb_is_as_it_was,
    no_line_of_help_is_wider_than_80_columns,
    help_goes_to_standard_output_and_is_the_same_by_every_name,
    the_version_is_one_line,
    the_manual_has_every_verb_and_every_option,
    the_manual_of_the_file_has_the_fields_of_the_schema,
    every_document_that_a_verb_prints_is_described,
    the_manual_pages_format_without_complaint,
    bash_takes_the_completion,
    zsh_takes_the_completion,
    fish_takes_the_completion,
    bash_completes_verbs_options_and_values,
    bash_completes_experiments_of_the_configuration_on_the_line,
    fish_completes_experiments_of_the_configuration_on_the_line,
])

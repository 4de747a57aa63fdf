#!/usr/bin/python3
"""Mistakes on the command line: one sentence on standard error that names what is accepted, exit status 2, nothing on
standard output."""
from tap import Home, dream, run_cases

MISTAKES = {
    ("frobnicate",): "there is no verb 'frobnicate'; 'dream --help' lists them",
    ("trails",): "there is no verb 'trails'; did you mean 'trials'?",
    ("--frob",): "there is no option --frob before the verb; only --help and --version stand alone",
    ("trials", "--bset", "3"): "there is no option --bset; did you mean --best?",
    ("trials", "--zzz"): "there is no option --zzz; see 'dream trials --help'",
    ("trials", "-Z"): "there is no option -Z; see 'dream trials --help'",
    ("trials", "--best"): "--best needs a value: N",
    ("trials", "-b", "many"): "--best takes a whole number from 1 to 1000000, not 'many'",
    ("trials", "-b", "0"): "--best takes a whole number from 1 to 1000000, not '0'",
    ("trials", "-b", "99999999999999999999999"):
        "--best takes a whole number from 1 to 1000000, not '99999999999999999999999'",
    ("trials", "--json=yes"): "--json takes no value",
    ("trials", "--purpose", "fun"): "--purpose takes one of: search confirm predict eval; not 'fun'",
    ("trials", "--outcome", "fine"):
        "--outcome takes the name of an outcome, such as ok, start_failed or oom, not 'fine'",
    ("trials", "extra"): "too many arguments: it takes no arguments",
    ("show",): "something is missing: it takes ID",
    ("plot", "pie", "-o", "x.svg"): "it draws fitness-evolution, pareto or trials, not 'pie'",
    ("plot", "pareto"): "name the file to write with --output FILE (.svg, .png or .pdf)",
    ("lineage", "burn"): "it takes show, verify, head, export, rebuild or key, not 'burn'",
    ("promotions", "burn"): "it takes 'list' or 'show [ID]', not 'burn'",
    ("eval", "--seed", "-1"): "--seed takes a whole number from 0 to 9007199254740992, not '-1'",
    ("eval", "--timeout", "soon"):
        "--timeout takes a duration such as 90, 90s, 5min or 2h (a bare number is seconds), not 'soon'",
    ("predict", "--only", "maybe"): "--only takes one of: fits infeasible unknown; not 'maybe'",
    ("check", "a.yaml", "-c", "b.yaml"): "the configuration is named twice: b.yaml and a.yaml",
    ("rollout",): "which promotion? `dream promotions` lists them",
    ("rollout", "--continue", "--abort"): "it is either --continue or --abort",
    ("rollout", "promotion-x", "--abort"): "--abort is about the rollout that is going on and takes no promotion",
    ("rollout", "promotion-x", "--resume"): "--resume is about the rollout that is going on and takes no promotion",
    ("rollout", "--resume", "--dry-run"): "--dry-run takes a promotion; `dream promotions` lists them",
    ("rollout", "--abort", "--foreground"):
        "what is done here instead of in the daemon is --resume --continue or --resume --abort",
    ("rollout", "promotion-x", "--reason", "why"):
        "--reason goes with --continue and --abort; the reason of a rollout is that of its approval",
    ("rollback", "the-first"): "\"the-first\" is no version; `dream baseline log` lists them",
    ("feedback", "so-so", "it works"): "it takes 'good' or 'bad' and a few words, not 'so-so'",
    ("ab", "x=1"): "\"x=1\" is not of the form PARAM=A,B",
    ("completion", "csh"): "it knows bash, zsh and fish, not 'csh'",
}


def every_mistake_is_one_sentence_that_says_what_is_accepted():
    for args, sentence in MISTAKES.items():
        done = dream(*args)
        known_verb = not args[0].startswith("-") and "no verb" not in sentence
        prefix = f"dream {args[0]}: " if known_verb else "dream: "
        assert done.code == 2 and done.out == "" and done.err == prefix + sentence + "\n", (args, done)


def without_a_daemon_it_is_said_what_to_do_instead():
    with Home() as home:
        for args, instead in [(["rollout", "promotion-x"], "`dream rollout --foreground PROMOTION`"),
                              (["rollout", "--abort"], "`dream rollout --resume --abort`"),
                              (["rollout", "--continue"], "`dream rollout --resume --continue`")]:
            done = home.dream(*args, "--socket", str(home.path / "nobody.sock"))
            assert done.code == 1 and "no daemon runs here" in done.err and instead in done.err, done


def no_verb_at_all_is_a_mistake_that_shows_the_verbs():
    done = dream()
    assert done.code == 2 and done.out == "" and "Verbs:" in done.err, done


def a_missing_configuration_names_the_places_that_were_looked_at():
    with Home() as home:
        done = home.dream("predict")
        assert done.code == 2 and str(home.path / "config/dream/dream.yaml") in done.err, done
        assert "./dream.yaml" in done.err and "/etc/dream/dream.yaml" in done.err, done


def a_broken_configuration_is_reported_with_its_place():
    with Home() as home:
        (home.path / "dream.yaml").write_text("version: 1\nexperimints: []\n")
        for verb in [["check"], ["predict"], ["eval"], ["twin"], ["run"]]:
            done = home.dream(*verb)
            assert done.code == 2 and done.out == "" and "dream.yaml:2:1" in done.err, (verb, done)


def without_a_configuration_the_way_to_one_is_said():
    with Home() as home:
        for verb in ["check", "predict", "eval", "run"]:
            done = home.dream(verb)
            assert done.code == 2 and done.out == "" and "let 'dream init' write one" in done.err, (verb, done)


def reading_an_absent_store_says_so():
    with Home() as home:
        for args in [["trials"], ["promotions"], ["promotions", "show"], ["show", "1"], ["lineage", "head"],
                     ["lineage", "verify"], ["lineage", "show", "1"], ["lineage", "export", "x"]]:
            done = home.dream(*args)
            assert "nothing has been recorded yet; run 'dream run'" in done.err, (args, done)
            assert done.out == "", (args, done)
            assert done.code == (0 if args in (["trials"], ["promotions"]) else 1), (args, done)
        assert home.json("trials") == {"schema": "dream.trials/v1", "trials": []}
        empty = {"schema": "dream.promotions/v1", "promotions": [], "states": {}, "recorded_at_us": {}, "lapsed": {}}
        assert home.json("promotions") == empty
        assert not (home.path / "state").exists(), "reading made a folder"


def a_store_that_was_named_and_is_not_there_is_a_mistake():
    with Home() as home:
        for args in [["trials"], ["promotions"], ["show", "1"], ["lineage", "head"], ["lineage", "verify"]]:
            done = home.dream(*args, "--database", "gone.db")
            assert done.code == 1 and done.out == "", (args, done)
            assert "there is no store 'gone.db'" in done.err, (args, done)


def a_full_disk_under_standard_output_is_a_failure():
    import subprocess
    from tap import DREAM
    with open("/dev/full", "w") as full:
        p = subprocess.run([DREAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and "cannot write to standard output: No space left on device" in p.stderr, p
    with Home() as home, open("/dev/full", "w") as full:
        (home.path / "chain.jsonl").write_text("")
        p = subprocess.run([DREAM, "lineage", "verify", "chain.jsonl"], cwd=home.path, env=home.env, stdout=full,
                           stderr=subprocess.PIPE, text=True)
        assert p.returncode == 1 and "cannot write to standard output" in p.stderr, p


def a_standard_stream_that_is_closed_is_no_other_file():
    import subprocess
    from tap import DREAM, SOURCE
    example = str(SOURCE / "examples/rtx3060.yaml")
    with Home() as home:
        for closed, fails in ((">&-", True), ("2>&-", False), (">&- 2>&-", True), ("<&- >&- 2>&-", True)):
            for args in (["bench", "http", "http://127.0.0.1:1/", "-n", "1"], ["eval", "--store", "-c", example]):
                p = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", DREAM, *args], cwd=home.path, env=home.env,
                                   stdin=subprocess.DEVNULL, capture_output=True, text=True)
                assert p.returncode == (1 if fails or args[0] == "bench" else 0), (closed, args, p)
                if closed == ">&-":
                    assert "cannot write to standard output: Bad file descriptor" in p.stderr, (args, p)
        assert home.dream("lineage", "verify", "-c", example).code == 0


def what_status_could_not_read_is_what_it_names():
    from tap import SOURCE
    with Home() as home:
        (home.path / "dream.yaml").write_text("version: 1\nexperimints: []\n")
        done = home.dream("status")
        assert done.code == 0 and "the configuration could not be read" in done.out, done
        example = (SOURCE / "examples/rtx3060.yaml").read_text().replace("../boxes", str(SOURCE / "boxes"))
        (home.path / "dream.yaml").write_text(example.replace("run:\n", "run:\n  store: box/store.db\n", 1))
        (home.path / "box/store.db").mkdir(parents=True)
        done = home.dream("status")
        assert done.code == 0 and "the store could not be read" in done.out and "configuration" not in done.out, done


def a_name_that_there_is_not_is_not_taken_for_nothing_measured():
    from tap import SOURCE
    example = str(SOURCE / "examples/rtx3060.yaml")
    with Home() as home:
        done = home.dream("predict", example, "vllm_memory=0.5")
        assert done.code == 2 and done.err.endswith("there are: vllm_memory_util, whisper_model_size\n"), done
        assert home.dream("run", example).code == 0
        assert home.dream("promotions", "-c", example, "-e", "nope").out == "no promotion matches\n"
        assert home.dream("trials", "-c", example, "-e", "nope").out == "no trial matches\n"
        done = home.dream("lineage", "export", "gone/chain.jsonl", "-c", example)
        assert done.code == 1 and done.err == "dream lineage: cannot write gone/chain.jsonl: No such file or directory\n", done


run_cases([
    every_mistake_is_one_sentence_that_says_what_is_accepted,
    without_a_daemon_it_is_said_what_to_do_instead,
    no_verb_at_all_is_a_mistake_that_shows_the_verbs,
    a_missing_configuration_names_the_places_that_were_looked_at,
    a_broken_configuration_is_reported_with_its_place,
    without_a_configuration_the_way_to_one_is_said,
    reading_an_absent_store_says_so,
    a_store_that_was_named_and_is_not_there_is_a_mistake,
    a_full_disk_under_standard_output_is_a_failure,
    a_standard_stream_that_is_closed_is_no_other_file,
    what_status_could_not_read_is_what_it_names,
    a_name_that_there_is_not_is_not_taken_for_nothing_measured,
])

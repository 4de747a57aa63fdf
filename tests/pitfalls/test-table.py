#!/usr/bin/env python3
"""The table of README.md names tests that exist."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../run"))
from tap import ROOT, run_cases  # noqa: E402


def every_test_of_the_table_is_there():
    with open(os.path.join(HERE, "README.md")) as f:
        rows = re.findall(r"^\| .* \| `(\S+)` \| `(\S+)` \|$", f.read(), re.M)
    assert len(rows) >= 27, rows
    for path, name in rows:
        with open(os.path.join(ROOT, path)) as f:
            text = f.read()
        assert f"TEST({name})" in text or f"def {name}(" in text, f"{path} has no {name}"


if __name__ == "__main__":
    run_cases([every_test_of_the_table_is_there])

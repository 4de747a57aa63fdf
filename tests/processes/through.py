"""The example configurations, with the paths of this build."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../run"))
from tap import DREAM, ROOT  # noqa: E402

NVML = os.environ["TWIN_FOLDER"]


def through_processes(name, folder=None):
    """A configuration whose paths are those of this build."""
    with open(os.path.join(folder or os.path.join(ROOT, "examples"), name)) as f:
        text = f.read()
    text = text.replace("../boxes/", "boxes/").replace("boxes/", os.path.join(ROOT, "boxes/"))
    text = text.replace("../build/src/twin/nvml", NVML).replace(": NVML", f": {NVML}")
    return text.replace("../build/dream", DREAM).replace("[DREAM,", f"[{DREAM},")

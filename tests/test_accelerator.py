"""The kit for accelerators runs on a bare machine: no data set, no torch, none of the packages that only verbs need."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BARE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "dp_accounting", "tyro", "tensorflow_datasets", "sklearn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, "benchmarks")
import harness
harness.torch_found = lambda: False
import accelerator
accelerator.main(["--small", *sys.argv[1:]])
"""


def lines(*words):
    done = subprocess.run([sys.executable, "-c", BARE, *words], capture_output=True, text=True, cwd=ROOT, check=True)
    return {line["stage"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_every_stage_runs_on_a_bare_machine():
    stages = lines()
    assert [line for line in stages.values() if "failed" in line or "left_out" in line] == []
    gaps = stages["float32 against float64"]["relative_difference"]
    assert set(gaps) == {"row", "newton", "retraining", "training"} and 0 < max(gaps.values()) < 1e-4
    story = stages["story"]["first_and_second_call"]
    assert all(first["compilations"] > 0 for first, _ in story.values()), story
    assert all(second["compilations"] == 0 for name, (_, second) in story.items() if name != "training"), story
    assert all(line["device"]["backend"] == "cpu" and line["commit"] for line in stages.values())


def test_no_stage_begins_when_the_time_is_over():
    stages = lines("--seconds", "-1")
    assert len(stages) >= 6 and all("left_out" in line for line in stages.values())

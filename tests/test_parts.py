"""Parts of a run folder come back as they were written, or not at all."""

import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import Parts

ARRAYS = {"kernel": np.arange(12.0).reshape(3, 4) / 7, "bias": np.ones(3, np.float32)}
FACTS = {"method": "newton", "request": np.array([3, 5]), "cost": {"seconds": 0.25, "bound": float("nan")}}


@pytest.fixture
def parts(tmp_path):
    parts = Parts(tmp_path / "updates")
    parts.save("newton-1", ARRAYS, FACTS)
    parts.save("newton-2", jax.tree.map(lambda a: a + 1, ARRAYS), FACTS)
    return parts


def test_a_part_comes_back_whole(parts):
    arrays, facts = parts.load("newton-1")
    jax.tree.map(np.testing.assert_array_equal, arrays, ARRAYS)
    assert facts["request"] == [3, 5] and facts["cost"] == {"seconds": 0.25, "bound": None}


def test_nothing_says_whose_machine_wrote_a_part(parts):
    assert parts.place.parts[-3].encode() not in b"".join(p.read_bytes() for p in parts.place.rglob("*") if p.is_file())
    assert str(os.getpid()).encode() not in b"".join(p.name.encode() for p in parts.place.rglob("*"))


def test_a_name_that_is_taken_is_not_written_over(parts):
    with pytest.raises(cu.BadInput, match="is there already"):
        parts.save("newton-1", ARRAYS, {"method": "other"})
    assert parts.facts("newton-1")["method"] == "newton"


def test_no_flip_of_a_bit_goes_unnoticed(parts, tmp_path):
    files = [path for path in (parts.place / "newton-1").rglob("*") if path.is_file() and path.stat().st_size]
    rng, refused = np.random.default_rng(0), 0
    for number in range(300):
        path = files[number % len(files)]
        whole = path.read_bytes()
        bit = int(rng.integers(8 * len(whole)))
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        try:
            arrays, facts = parts.load("newton-1")
        except cu.BadInput as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            jax.tree.map(np.testing.assert_array_equal, arrays, ARRAYS)
            assert facts["request"] == [3, 5] and facts["method"] == "newton" and facts["cost"]["seconds"] == 0.25
        path.write_bytes(whole)
    assert refused > 40


def test_parts_are_not_exchanged(parts):
    for name in ("arrays", "facts.json"):
        one, two, aside = parts.place / "newton-1" / name, parts.place / "newton-2" / name, parts.place / "aside"
        for source, target in ((one, aside), (two, one), (aside, two)):
            shutil.move(source, target)
        with pytest.raises(cu.BadInput, match=r"missing or damaged|are not those that were written; restore"):
            parts.load("newton-1")
        for source, target in ((one, aside), (two, one), (aside, two)):
            shutil.move(source, target)
    parts.load("newton-1")


@pytest.mark.parametrize("change", [{"method": "retrain"}, {"digest": "0"}, {"part": "newton-2"}, {"arrays": "0"}])
def test_an_edited_fact_is_noticed(parts, change):
    place = parts.place / "newton-1" / "facts.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    with pytest.raises(cu.BadInput, match="the facts of updates/newton-1 are not those that were written"):
        parts.load("newton-1")


def test_facts_that_lost_their_digest_are_refused(parts):
    place = parts.place / "newton-1" / "facts.json"
    facts = json.loads(place.read_text())
    del facts["digest"]
    place.write_text(json.dumps(facts))
    with pytest.raises(cu.BadInput, match="no 'digest'; updates/newton-1 is damaged; restore it"):
        parts.facts("newton-1")


PORTABLE = """
import sys, jax, jax.numpy as jnp
from pathlib import Path
from certunl.folders.arrays import load_arrays, save_arrays
place, verb = Path(sys.argv[1]), sys.argv[2]
digest = place.with_name("digest")
if verb == "save":
    jax.config.update("jax_num_cpu_devices", 2)
    mesh = jax.make_mesh((2,), ("x",))
    spread = jax.device_put(jnp.arange(6.0), jax.NamedSharding(mesh, jax.P("x")))
    second = jax.device_put(jnp.ones(3, jnp.bfloat16), jax.devices()[1])
    digest.write_text(save_arrays(place, {"a": {"b": spread}, "c": second}))
else:
    arrays = load_arrays(place, digest.read_text())
    print(arrays["a"]["b"].tolist(), arrays["c"].dtype, len(arrays["a"]["b"].devices()))
"""


def test_arrays_of_two_devices_open_on_one_and_those_of_a_gpu_on_a_cpu(tmp_path):
    def run(verb):
        words = [sys.executable, "-c", PORTABLE, str(tmp_path / "arrays"), verb]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    run("save")
    expected = "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0] bfloat16 1\n"
    assert run("load") == expected
    sharding = tmp_path / "arrays" / "_sharding"
    text = sharding.read_text()
    assert "TFRT_CPU" in text or "cpu" in text
    sharding.write_text(text.replace("TFRT_CPU_1", "cuda:0").replace("cpu:1", "cuda:0"))
    assert run("load") == expected

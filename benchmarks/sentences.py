"""The sentences of README.md, benchmarks/README.md and docs/ that hold measured numbers, each with its expressions."""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

from benchmarks.saved import Saved

__all__ = ["Sentence", "sentences"]

Sentence = tuple[str, tuple[Any, ...]]
"""(the words of a page with a format in the place of each number, the numbers)."""


def sentences(saved: Saved) -> Iterator[Sentence]:
    for question in (computed, certified, frozen_features, shadows, hessian_free, store, serving, on_host):
        yield from question(saved)


def computed(saved: Saved) -> Iterator[Sentence]:
    """Numbers that follow from definitions."""
    from certunl.certificates.gaussian import noise_ratio, read_epsilon
    from certunl.membership import expected_auc

    ratio = noise_ratio(1.0, 1e-5)
    yield "sigma is {:.2f} times the proved distance at epsilon 1 and delta 1e-5", (ratio,)
    yield "mu {:.2f} is epsilon 1 at delta 1e-5", (1 / ratio,)
    yield "AUC of at most Phi(mu/√2), which is {:.2f} there", (NormalDist().cdf(1 / ratio / math.sqrt(2)),)
    yield "an AUC of 0.75 is at most about {:.2f} with 16", (expected_auc(0.75, 16),)
    yield "an AUC of 0.75 with 256 shows at most about {:.2f} with 16", (expected_auc(0.75, 16),)
    yield "three releases of one run compose to epsilon {:.3f}", (read_epsilon(ratio / math.sqrt(3), 1e-5),)


def certified(saved: Saved) -> Iterator[Sentence]:
    rows = saved.last("certified", forgotten=600)["rows"]
    removed = rows["certified_removal"]
    clean = [rows[name]["accuracy_without_noise"] for name in ("retrain", "certified_removal")]
    yield "with a test accuracy of {:.3f}. The accuracy is {:.3f} for the replay", (removed["accuracy"], clean[0])
    yield "for the replay and {:.3f} at the exact minimum", (clean[1],)
    noisy = [rows[name]["accuracy"] for name in ("noisy_finetuning", "model_clipping")]
    yield "they end at test accuracies {:.3f} and {:.3f}", tuple(noisy)
    fixed = (removed["bound"], removed["sigma"])
    yield "the distance {:g} was fixed before the request, so sigma is {:.3f} for each of them", fixed
    yield "stop {:.1f} away from it", (removed["distance_to_replay"],)


def frozen_features(saved: Saved) -> Iterator[Sentence]:
    line = saved.last("frozen_features", stage="mnist, learnt from 10,000")
    released = next(row for name, row in line["rows"].items() if name.endswith(" + noise"))["test_accuracy"]["mean"]
    both = (released, line["network_test_accuracy"])
    yield "The released head has an accuracy of {:.4f}, and the network one of {:.4f}", both
    seconds = [row["seconds"]["mean"] for name, row in line["rows"].items() if name.endswith(" + noise")]
    yield "Forgetting took {:.0f} s, and retraining", tuple(seconds)
    yield "retraining such a head {:.1f} s", (line["rows"]["retrain"]["seconds"]["mean"],)
    facts = line["certificate"]
    norms = (facts["noise_norm"], facts["parameter_norm"])
    yield "A noise of norm {:.2f} hardly changes a head of norm {:.0f}", norms


def shadows(saved: Saved) -> Iterator[Sentence]:
    line = saved.last("shadows", models=128)
    ours, torch, alone = (line["ours"], *(line["peers"][name] for name in ("torch", "ours, one after another")))
    yield "128 shadow models take {:.1f} s, and {:.1f} s in torch", (ours["median"], torch["median"])
    yield "Together they take {:.2f} s", (ours["median"],)
    yield "and takes {:.2f} s ({:.1f} times)", (torch["median"], torch["ratio"])
    yield "Our own loop takes {:.2f} s one after another ({:.1f} times)", (alone["median"], alone["ratio"])
    halves = line["peers"]["ours, batches of their own halves"]["median"]
    yield "as torch does, ours take {:.2f} s, and torch {:.1f} times as long", (halves, torch["median"] / halves)
    yield "at {:.2f} of the rate of a product of side 2,048. The rest", (ours["matmul_fraction"],)
    yield "{:.0f} kB per model and step", (4 * line["parameters"] / 1000,)
    yield "agree with torch to {:.0e} after eight steps", (line["relative_difference"],)


def hessian_free(saved: Saved) -> Iterator[Sentence]:
    line = saved.last("hessian_free", model="784-10")
    alone = line["peers"]["its two matrix products alone"]["ratio"]
    rates = (alone, line["ours"]["matmul_fraction"])
    yield "runs at {:.2f} of the rate of its two matrix products alone, and at {:.2f} of the rate of a product", rates


def store(saved: Saved) -> Iterator[Sentence]:
    line = saved.last("store", what="rows of m of n examples, in memory")
    few, some, many = line["milliseconds_per_unit"]
    yield "a unit takes {:.1f}, {:.1f} and {:.1f} ms for {:,}, {:,} and {:,} units", (few, some, many, *line["units"])
    line = saved.last("store", what="rows on disk")
    whole = (line["units"], line["gigabytes"], line["seconds_whole"], line["peak_memory_gigabytes"])
    yield "All {:,} rows ({:.2f} GB) take {:.0f} s and stay within {:.1f} GB of memory", whole
    yield "was killed (-9) after {} chunks", (line["chunks_when_killed"],)
    yield "Reading {} rows takes {:.0f} ms", (line["deleted"], line["milliseconds_to_read"])
    yield "Erasing {} scattered rows takes {:.2f} s", (line["deleted"], line["milliseconds_to_erase"] / 1000)
    line = saved.last("store", what="one deletion, checks and all")
    ways = ("memory, 1000 units", "disk, 1000 units", "disk, 4000 units")
    times = tuple(line["milliseconds"][way] for way in ways)
    yield "takes {:.1f} ms in memory. From disk it takes {:.1f} ms for 1,000 units and {:.1f} ms for 4,000", times


def serving(saved: Saved) -> Iterator[Sentence]:
    line = saved.last("forget_latency")
    seconds, (few, many) = line["seconds"], line["requests_before"]
    latencies = (seconds[str(few)], few, seconds[str(many)], many, line["many_to_few"])
    yield "takes {:.1f} s after {} requests and {:.1f} s after {:,} ({:.2f} times)", latencies
    yield "Of that {:.1f} s are Python and JAX starting", (seconds["starting"],)


def on_host(saved: Saved) -> Iterator[Sentence]:
    line = saved.last("on_host", work="larger than memory")
    sizes = tuple(line[name] / 2**30 for name in ("limit", "bytes"))
    yield "A process with {:.0f} GiB of its own memory (RLIMIT_DATA) trained", sizes[:1]
    yield "on a file of {:.0f} GiB", sizes[1:]
    yield "in {:.1f} s, and forgot two examples in {:.1f} s", (line["trained_in"], line["forgot_in"])

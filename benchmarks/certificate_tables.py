"""The tables of benchmarks/README.md about deep networks whose forgetting is PROVED, from the last saved lines."""

import json
from collections.abc import Callable

from benchmarks.advice_numbers import advice_numbers
from benchmarks.saved import Saved
from benchmarks.tables import markdown, short, spread
from certunl.planning.advice import chosen

__all__ = ["CERTIFICATE_TABLES"]


def deep_certificates(saved: Saved) -> str:
    """Accuracy, epsilon and work of each way, for requests of each size."""
    if not saved.lines("deep_certificates"):
        return "Not measured yet: `python benchmarks/deep_certificates.py --save`."
    rows = []
    for line in saved.latest("deep_certificates", "data", "way"):
        requests = line["requests"]
        row = [line["data"], line["way"], spread(line["accuracy"])]
        for facts in requests.values():
            share = facts["share_for_1"] if "share_for_1" in facts else facts["expected_share"]
            row.append(f"{short(facts['epsilon'], 3)}; {share:.2f}")
        verdicts = {facts["verdict"] for facts in requests.values()}
        rows.append([*row, ", ".join(sorted(verdicts))])
    sizes = list(saved.latest("deep_certificates", "data", "way")[0]["requests"])
    heads = [f"{size} forgotten: epsilon; work" for size in sizes]
    return markdown(["images", "network", "test accuracy", *heads, "verdict"], rows)


def advice(saved: Saved) -> str:
    """The most accurate way that is PROVED, for requests, epsilons and work, as `certunl advise` chooses it."""
    facts, rows = json.loads(advice_numbers(saved)), []
    for requests, size in ((1, 1), (10, 1), (100, 1), (1, 100)):
        for epsilon in (1.0, 4.0):
            row = [f"{requests:,}, {size:,}", f"{epsilon:g}"]
            for work in (0.0, 0.1, 0.25, 1.0):
                asked = {"epsilon": epsilon, "delta": 1e-5, "requests": requests, "size": size, "work": work}
                first = chosen(**asked, public=False, facts=facts).ways[0]
                accuracy = "" if first.accuracy is None else f", {first.accuracy[0]:.3f}"
                row.append(f"{first.name}{accuracy}" if first.fits else "none")
            rows.append(row)
    return markdown(["requests, examples of each", "epsilon", "work 0", "work 0.1", "work 0.25", "work 1"], rows)


def clipping(saved: Saved) -> str:
    """The seconds of a step's clipped sum beside a plain gradient, the noise and the peers."""
    if not saved.lines("clipping"):
        return "Not measured yet: `python benchmarks/clipping.py --save`."
    rows = []
    for line in saved.latest("clipping", "model", "batch"):
        ours, peers, facts = line["ours"]["median"], line["peers"], line
        plain = peers["plain gradient"]["median"]
        others = [peers.get(name) for name in ("opacus", "torch.func vmap(grad)")]
        theirs = ["-" if one is None else f"{1000 * one['median']:.0f} ({one['median'] / ours:.1f})" for one in others]
        memory = [short(facts[name] / 1e6) for name in ("temporary_bytes", "temporary_bytes_of_twice_the_batch")]
        times = [f"{1000 * ours:.1f}", f"{1000 * plain:.1f} ({ours / plain:.2f})"]
        drawn, steps = peers["drawing the noise"]["median"], peers.get("16 steps of training")
        noise = f"{1000 * drawn:.1f}"
        noise += "" if steps is None else f"; {1000 * steps['median'] / 16:.1f}, {1000 * (ours + drawn):.1f}"
        rows.append(
            [
                f"{line['model']} ({line['parameters']:,})",
                f"{line['batch']:,}",
                *times,
                noise,
                *theirs,
                ", ".join(memory),
            ]
        )
    heads = [
        "network (parameters)",
        "batch",
        "clipped, ms",
        "plain gradient, ms (ours in these)",
        "drawing the noise, ms; a step of training, and the sum of both parts",
    ]
    heads += ["Opacus, ms (times ours)", "torch.func, ms (times ours)", "MB of this batch, and of twice as many"]
    return markdown(heads, rows)


def price_audits(saved: Saved) -> str:
    """The claimed epsilon of each audit, and the audited ones of the right noise and of half of it."""
    if not saved.lines("price_audits"):
        return "Not measured yet: `python benchmarks/price_audits.py --save`."
    rows, confidence = [], 0.0
    for line in saved.latest("price_audits", "way", "seen"):
        size, confidence = line["settings"], line["right"]["confidence"]
        many = (
            f"{size['canaries']:,} canaries in one training"
            if "canaries" in size
            else "{0} trainings with, {0} without"
        )
        verdicts = [
            f"{short(line[noise]['lower'], 3)}; {'REFUTED' if line[noise]['refuted'] else 'not refuted'}"
            for noise in ("right", "half")
        ]
        rows.append([many.format(size.get("runs")), line["seen"], short(line["right"]["claimed"], 3), *verdicts])
    heads = ["audit", "the attacker sees", "claimed epsilon"]
    heads += [f"audited at {confidence:.0%}, {noise}" for noise in ("noise as claimed", "half of it")]
    return markdown(heads, rows)


CERTIFICATE_TABLES: dict[str, Callable[[Saved], str]] = {
    "advice": advice,
    "clipping": clipping,
    "deep_certificates": deep_certificates,
    "price_audits": price_audits,
}

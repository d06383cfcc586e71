"""The table of benchmarks/README.md about deep networks whose forgetting is PROVED, from the last saved lines."""

from collections.abc import Callable

from benchmarks.saved import Saved
from benchmarks.tables import markdown, short, spread

__all__ = ["CERTIFICATE_TABLES"]


def deep_certificates(saved: Saved) -> str:
    """Accuracy, epsilon and work of each way, for requests of each size."""
    if not saved.lines("deep_certificates"):
        return "Not measured yet: `python benchmarks/deep_certificates.py --save`."
    rows = []
    for line in saved.latest("deep_certificates", "way"):
        requests = line["requests"]
        row = [line["way"], spread(line["accuracy"]), f"{line['training_seconds']:.0f}"]
        for facts in requests.values():
            share = facts["share_for_1"] if "share_for_1" in facts else facts["expected_share"]
            row.append(f"{short(facts['epsilon'], 3)}; {share:.2f}")
        verdicts = {facts["verdict"] for facts in requests.values()}
        rows.append([*row, ", ".join(sorted(verdicts))])
    sizes = list(saved.latest("deep_certificates", "way")[0]["requests"])
    heads = [f"{size} forgotten: epsilon; work" for size in sizes]
    return markdown(["network", "test accuracy", "seconds of a training", *heads, "verdict"], rows)


CERTIFICATE_TABLES: dict[str, Callable[[Saved], str]] = {"deep_certificates": deep_certificates}

"""The last saved lines of results/."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "Line", "Saved"]

RESULTS = Path(__file__).resolve().parent / "results"

Line = dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """The lines of a folder of results. Each has its settings beside its other fields.

    Args:
        results: the folder, with a file for each question, such as "serve" or "zhang2024/small/methods".
    """

    results: Path = RESULTS

    def lines(self, question: str) -> list[Line]:
        path = self.results / f"{question}.jsonl"
        lines = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
        return [line["settings"] | line for line in lines]

    def last(self, question: str, **settings: Any) -> Line:
        """The last line with these settings.

        Raises: LookupError if there is none.
        """
        fitting = [x for x in self.lines(question) if all(x.get(key) == value for key, value in settings.items())]
        if not fitting:
            raise LookupError(f"results/{question}.jsonl has no line" + (f" with {settings}" if settings else ""))
        return fitting[-1]

    def latest(self, question: str, *names: str) -> list[Line]:
        """The last line of each value of these settings, in the order in which the values came first.

        Raises: LookupError if there is no line.
        """
        self.last(question)
        return list({tuple(line.get(name) for name in names): line for line in self.lines(question)}.values())

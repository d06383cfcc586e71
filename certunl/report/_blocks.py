"""The contents of the page, in order. `page` and `markdown` only format the blocks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from certunl.evaluation import Report
from certunl.evaluation.findings import alarms, every_table
from certunl.evaluation.lead import lead
from certunl.evaluation.tables import Table, beside, heading
from certunl.report._draw import Picture, draw

__all__ = ["Alarm", "Block", "Heading", "Pictures", "Printed", "Words", "blocks", "pictures", "prefixes"]


class Heading(NamedTuple):
    level: int
    text: str


class Words(NamedTuple):
    text: str


class Alarm(NamedTuple):
    """A sentence in red. The kind "warning" is about secrets, the kind "alarm" about the numbers."""

    text: str
    kind: str = "alarm"


class Printed(NamedTuple):
    text: str


class Pictures(NamedTuple):
    pictures: list[Picture]


Block = Heading | Words | Alarm | Printed | Pictures | Table


def pictures(reports: Sequence[Report], formats: Sequence[str] = ()) -> list[list[Picture]]:
    """The figures of each Report, as PNG and in `formats`. No two have the same name."""
    return [draw(report, prefix, formats) for prefix, report in zip(prefixes(reports), reports, strict=True)]


def prefixes(reports: Sequence[Report]) -> list[str]:
    """The beginning of the names of each Report's files."""
    return [f"{place}-" if len(reports) > 1 else "" for place in range(1, len(reports) + 1)]


def blocks(
    title: str, facts: dict[str, Any], reports: Sequence[Report], warnings: Sequence[str], figures: list[list[Picture]]
) -> Iterator[Block]:
    """The blocks of the page, from the title to the settings; `figures` are those of each Report."""
    yield Heading(1, title)
    for report in reports:
        yield Words(f"{report.request}: {lead(report)}" if report.request and len(reports) > 1 else lead(report))
    yield Words("This page describes un-noised models. It is for the owner of the run only.")
    for sentence in warnings:
        yield Alarm(sentence, "warning")
    for report, own in zip(reports, figures, strict=True):
        yield from _one(report, own)
    if lines := list(_flat(facts)):
        yield Heading(2, "Settings, versions and device")
        yield Table(["", ""], lines, words=(1,))


def _one(report: Report, figures: list[Picture]) -> Iterator[Block]:
    """The chapter of one Report."""
    yield Heading(2, heading(report))
    for sentence in alarms(report):
        yield Alarm(sentence)
    tables = every_table(report)
    yield beside(tables["models"])
    if "audits" in tables:
        yield Heading(3, "Audits")
        yield tables["audits"]
    yield Pictures([picture for picture in figures if not _of_attacks(picture)])
    if "class losses" in tables:
        yield tables["class losses"]
    if "attacks" in tables:
        yield Heading(3, "Attacks")
        yield tables["attacks"]
        if "rates" in tables:
            yield tables["rates"]
        yield Pictures([picture for picture in figures if _of_attacks(picture)])
    if "left out" in tables:
        yield Heading(3, "Left out")
        yield tables["left out"]
    if report.certificates:
        yield Heading(3, "Certificates")
        for name, text in report.certificates.items():
            yield Printed(f"{name}\n{text}")


def _of_attacks(picture: Picture) -> bool:
    return picture.name.partition("-auc-")[1] != "" or picture.name.partition("-roc-")[1] != ""


def _flat(facts: dict[str, object], prefix: str = "") -> Iterable[list[str]]:
    """A line for each fact. A nested fact has the names of all levels."""
    for name, value in facts.items():
        words = prefix + str(name).replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{words}: ")
        else:
            yield [words, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)]

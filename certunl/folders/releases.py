"""Lines of requests in a run folder: each method's (or name's) requests follow one another from its un-noised state."""

from pathlib import Path
from typing import Any

import numpy as np

from certunl import disk
from certunl.certificates.budget import Account
from certunl.certificates.certificate import Release
from certunl.certificates.update import Update
from certunl.errors import BadInput
from certunl.folders import parts
from certunl.folders._guarantees import account_of, certificate_of, guarantee_of, noted
from certunl.training.run import Run

__all__ = ["certificates", "forgotten", "load_releases", "made_by", "resume", "save_release", "stale", "warnings"]


def resume(folder: Path, run: Run, line: str, made_by: dict[str, Any]) -> tuple[Run, int, Account]:
    """(the run after every request of `line`, their number, what they spent).

    Raises: BadInput where the line was begun by another method or with other settings; retraining continues any.
    """
    account = Account()
    earlier = [name for name in parts.part_names(folder, "updates") if name.rpartition("-")[0] == line]
    for name in earlier:
        params, facts = parts.load_part(folder, "updates", name)
        held = {key: facts[key] for key in made_by}
        if "retrain" not in (held["method"], made_by["method"]) and held != disk.as_json(made_by):
            raise BadInput(f"the line {line!r} was begun with {held}; give the new one its own --name")
        run = run.minus(np.asarray(facts["request"]), params)
        account = account_of(facts["certificate"]["account"])
    return run, len(earlier), account


def save_release(
    folder: Path, line: str, number: int, release: Release, request: np.ndarray, made_by: dict[str, Any]
) -> str:
    """Writes the update (secret), then the release (public); returns their name, `line`-`number`."""
    name, update, certificate = f"{line}-{number}", release.update, release.certificate
    facts = {
        "method": update.method,
        "radius": update.radius,
        "cost": update.cost,
        "guarantee": noted(update.guarantee),
    }
    facts |= made_by | {"request": request, "certificate": noted(certificate), "printed": str(certificate)}
    parts.save_part(folder, "updates", name, update.params, facts)
    guarantee, alone = certificate.guarantee, certificate.budget.epsilon is None and not update.guarantee.every_request
    public = {
        "verdict": certificate.verdict,
        "method": certificate.method,
        "reference": guarantee.reference,
        "compared": guarantee.sense,
        "sigma": certificate.sigma,
        "epsilon": None if alone else certificate.epsilon,  # else read off the bound of this one request: the owner's
        "delta": certificate.delta,
        "failure_probability": guarantee.failure_probability,
    }  # nothing that was measured on the un-noised model
    parts.save_part(folder, "releases", name, release.params, public)
    return name


def load_releases(folder: Path, run: Run) -> dict[str, tuple[np.ndarray, Release]]:
    """name -> (all examples forgotten in its line so far i32[k], release), of those still in the folder."""
    releases: dict[str, tuple[np.ndarray, Release]] = {}
    forgotten: dict[str, np.ndarray] = {}
    for name in parts.part_names(folder, "updates"):
        line, facts = name.rpartition("-")[0], parts.load_facts(folder, "updates", name)
        gone = np.union1d(forgotten.get(line, np.zeros(0, np.int32)), facts["request"]).astype(np.int32)
        forgotten[line] = gone
        if not parts.exists(folder, "releases", name):  # moved away to be published
            continue
        secret, _ = parts.load_part(folder, "updates", name)
        params, _ = parts.load_part(folder, "releases", name)
        made = {"method": facts["method"], "radius": facts["radius"], "cost": facts["cost"]}
        update = Update(params=secret, guarantee=guarantee_of(facts), **made)
        releases[name] = gone, Release(params=params, update=update, certificate=certificate_of(facts))
    return releases


def forgotten(folder: Path, method: str) -> np.ndarray:
    """i32[k]: every example that a line of `method` has forgotten, wherever its releases are now."""
    noted = [parts.load_facts(folder, "updates", name) for name in parts.part_names(folder, "updates")]
    return np.unique([i for facts in noted if facts["method"] == method for i in facts["request"]]).astype(np.int32)


def certificates(folder: Path) -> dict[str, str]:
    """name -> the release's certificate as printed when it was made."""
    names = parts.part_names(folder, "releases")
    return {name: parts.load_facts(folder, "updates", name)["printed"] for name in names}


def warnings(folder: Path) -> list[str]:
    """A sentence for each way in which un-noised models may leave the house."""
    found = []
    if exposed := parts.exposed(folder):
        found.append(
            f"releases and un-noised models lie in one folder that others may read ({', '.join(exposed)}). Whoever has "
            "an un-noised model needs no release, and no certificate covers it: publish releases/ alone, and close the "
            "rest (chmod -R go= on each)"
        )
    told = {name: parts.load_facts(folder, "releases", name) for name in parts.part_names(folder, "releases")}
    bare = [name for name, facts in told.items() if not facts["sigma"] and facts["method"] != "retrain"]
    if bare:
        found.append(
            f"{', '.join(bare)} in releases/ carry no noise: they are the un-noised models; do not publish them"
        )
    return found


def made_by(folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """name -> (the method that made the release, its settings)."""
    noted = {name: parts.load_facts(folder, "updates", name) for name in parts.part_names(folder, "releases")}
    return {name: (facts["method"], facts["settings"]) for name, facts in noted.items()}


def stale(folder: Path) -> bool:
    """Whether there is no evaluation, or a release newer than it."""
    place = folder / "evaluation.json"
    made = [(folder / "releases" / name).stat().st_mtime for name in parts.part_names(folder, "releases")]
    return not place.exists() or max(made, default=0.0) > place.stat().st_mtime

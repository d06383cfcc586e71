"""Guarantees and certificates as JSON holds them, those of version 0.1 included."""

import dataclasses
import math
from typing import Any

from certunl.certificates.budget import Account, Budget
from certunl.certificates.certificate import Certificate
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import Distance, OwnNoise, Pairs

__all__ = ["account_of", "certificate_of", "guarantee_of", "noted"]

_KINDS = {"distance": Distance, "own_noise": OwnNoise, "pairs": Pairs}


def noted(thing: Guarantee | Certificate) -> dict[str, Any]:
    """Its fields, and the kind of its statement."""
    fields = dataclasses.asdict(thing)
    guarantee, facts = (thing.guarantee, fields["guarantee"]) if isinstance(thing, Certificate) else (thing, fields)
    if guarantee.says is not None:
        kind = next(name for name, kind in _KINDS.items() if type(guarantee.says) is kind)
        facts["says"] = {"kind": kind} | facts["says"]
    return fields


def guarantee_of(facts: dict[str, Any]) -> Guarantee:
    """That of an update's facts."""
    if "guarantee" not in facts:
        return _of_first_version(facts)
    return _guarantee(facts["guarantee"])


def certificate_of(facts: dict[str, Any]) -> Certificate:
    """That of an update's facts."""
    held = facts["certificate"]
    if "guarantee" in held:
        guarantee, ceiling = _guarantee(held["guarantee"]), held["ceiling"]
    else:
        guarantee, ceiling = _of_first_version(facts), held["trivial_bound"]
        guarantee = guarantee if held["bound"] is None else guarantee.trivial(held["bound"])
    return Certificate(
        guarantee=guarantee,
        ceiling=math.inf if ceiling is None else ceiling,
        budget=_budget(held["budget"]),
        account=account_of(held["account"]),
        **{name: held[name] for name in ("verdict", "method", "sigma", "epsilon", "parameter_norm", "dimension")},
    )


def account_of(held: dict[str, Any]) -> Account:
    """As it was before JSON, which has no infinity."""
    total = None if held["total"] is None else Budget(**held["total"])
    ratios = tuple(math.inf if ratio is None else ratio for ratio in held["ratios"])
    before = None if held["before"] is None else account_of(held["before"])
    return Account(total=total, ratios=ratios, pairs=_tuples(held["pairs"]), failures=held["failures"], before=before)


def _budget(held: dict[str, Any]) -> Budget:
    """Version 0.1 took a calibration beside a fixed sigma, on which it had no effect."""
    fixed: dict[str, Any] = {} if held["sigma"] is None else {"calibration": "analytic"}
    return Budget(**(held | fixed))


def _guarantee(held: dict[str, Any]) -> Guarantee:
    fields = {name: _tuples(value) for name, value in held.items()}
    fields["assumptions"] = _assumptions(held)
    if held["says"] is not None:
        says = {name: _tuples(value) for name, value in held["says"].items()}
        if "bound" in says and says["bound"] is None:
            says["bound"] = math.inf  # which JSON does not hold
        fields["says"] = _KINDS[says.pop("kind")](**says)
    return Guarantee(**fields)


def _of_first_version(held: dict[str, Any]) -> Guarantee:
    """The guarantee of an update whose fields lay flat."""
    says = None
    if held["profile"]:
        says = Pairs(_tuples(held["profile"]), held["noise"])
    elif held["noise"]:
        says = OwnNoise(held["bound"], held["noise"])
    elif held["bound"] is not None:
        says = Distance(held["bound"], doing_nothing=held["nothing"], exact=held["exact"])
    return Guarantee(
        says=says,
        reference=held["reference"],
        sense=held["compared"],
        every_request=held["uniform"],
        from_training=held["looks_back"],
        failure_probability=held["failure_probability"],
        assumptions=_assumptions(held),
        unchecked=_tuples(held["unchecked"]),
        missing=_tuples(held["missing"]),
    )


def _assumptions(held: dict[str, Any]) -> tuple[Assumption, ...]:
    return tuple(Assumption(**a) for a in held["assumptions"])


def _tuples(value: Any) -> Any:
    """Tuples, as they were before JSON."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

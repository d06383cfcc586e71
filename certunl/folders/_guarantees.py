"""Guarantees and certificates as JSON, those written by version 0.1 included."""

import dataclasses
from typing import Any

from certunl.certificates.account import Account
from certunl.certificates.certificate import Certificate
from certunl.certificates.guarantee import Guarantee
from certunl.folders.decoding import decoded, word

__all__ = ["account_of", "certificate_of", "guarantee_of", "noted", "published"]


def noted(thing: Guarantee | Certificate) -> dict[str, Any]:
    """The fields of a guarantee or certificate, and the kind of its statement."""
    fields = dataclasses.asdict(thing)
    guarantee, facts = (thing.guarantee, fields["guarantee"]) if isinstance(thing, Certificate) else (thing, fields)
    if guarantee.says is not None:
        facts["says"] = {"kind": word(type(guarantee.says))} | facts["says"]
    return fields


def published(certificate: Certificate, guarantee: Guarantee) -> dict[str, Any]:
    """The part of a certificate that may be published. Nothing in it was measured on the un-noised model.

    An epsilon that was read off the bound of this one request says something about the request, so it is left out.
    `guarantee` is that of the update.
    """
    private = certificate.budget.epsilon is None and not guarantee.every_request
    return {
        "verdict": certificate.verdict,
        "method": certificate.method,
        "reference": certificate.guarantee.reference,
        "compared": certificate.guarantee.sense,
        "sigma": certificate.sigma,
        "epsilon": None if private else certificate.epsilon,
        "delta": certificate.delta,
        "failure_probability": certificate.guarantee.failure_probability,
    }


def guarantee_of(facts: dict[str, Any]) -> Guarantee:
    """The guarantee in an update's facts."""
    return decoded(Guarantee, facts["guarantee"]) if "guarantee" in facts else _of_first_version(facts)


def certificate_of(facts: dict[str, Any]) -> Certificate:
    """The certificate in an update's facts."""
    fields = dict(facts["certificate"])
    if fields["budget"]["sigma"] is not None:  # 0.1 allowed a calibration beside a fixed sigma, without effect
        fields["budget"] = fields["budget"] | {"calibration": "analytic"}
    if "guarantee" in fields:
        return decoded(Certificate, fields)
    guarantee = _of_first_version(facts)
    if fields["bound"] is not None:
        guarantee = guarantee.trivial(fields["bound"])
    fields |= {"guarantee": noted(guarantee), "ceiling": fields["trivial_bound"]}
    return decoded(Certificate, fields)


def account_of(fields: dict[str, Any]) -> Account:
    """The account in a certificate's fields."""
    return decoded(Account, fields)


_FIRST_VERSION = {
    "reference": "reference",
    "sense": "compared",
    "every_request": "uniform",
    "from_training": "looks_back",
    "failure_probability": "failure_probability",
    "assumptions": "assumptions",
    "unchecked": "unchecked",
    "missing": "missing",
}


def _of_first_version(facts: dict[str, Any]) -> Guarantee:
    """The guarantee of an update whose fields lay flat."""
    says = None
    if facts["profile"]:
        says = {"kind": "pairs", "pairs": facts["profile"], "sigma": facts["noise"]}
    elif facts["noise"]:
        says = {"kind": "own_noise", "apart": facts["bound"], "sigma": facts["noise"]}
    elif facts["bound"] is not None:
        says = {"kind": "distance", "bound": facts["bound"], "doing_nothing": facts["nothing"], "exact": facts["exact"]}
    return decoded(Guarantee, {new: facts[old] for new, old in _FIRST_VERSION.items()} | {"says": says})

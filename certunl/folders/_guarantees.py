"""Guarantees and certificates as JSON."""

import dataclasses
from typing import Any

from certunl.certificates.certificate import Certificate
from certunl.certificates.guarantee import Guarantee
from certunl.certificates.printing import ON_FEATURES
from certunl.folders.decoding import decoded, word

__all__ = ["certificate_of", "guarantee_of", "noted", "published"]


def noted(thing: Guarantee | Certificate) -> dict[str, Any]:
    """The fields of a guarantee or certificate, and the kind of its statement."""
    fields = dataclasses.asdict(thing)
    guarantee, facts = (thing.guarantee, fields["guarantee"]) if isinstance(thing, Certificate) else (thing, fields)
    if guarantee.says is not None:
        facts["says"] = {"kind": word(type(guarantee.says))} | facts["says"]
    return fields


def published(certificate: Certificate, guarantee: Guarantee) -> dict[str, Any]:
    """The part of a certificate that may be published. Nothing in it was measured on the un-noised model.

    An epsilon or mu that was read off the bound of this one request says something about the request, so both are left
    out.
    `guarantee` is that of the update.
    """
    private = certificate.budget.epsilon is None and not guarantee.every_request
    return {
        "verdict": certificate.verdict,
        "method": certificate.method,
        "reference": certificate.guarantee.reference
        + ("" if certificate.guarantee.before is None else f", {ON_FEATURES}"),
        "compared": certificate.guarantee.sense,
        "sigma": certificate.sigma,
        "epsilon": None if private else certificate.epsilon,
        "mu": None if private else certificate.mu,
        "delta": certificate.delta,
        "failure_probability": certificate.guarantee.failure_probability,
    }


def guarantee_of(facts: dict[str, Any]) -> Guarantee:
    """The guarantee in the facts of an update."""
    return decoded(Guarantee, facts["guarantee"])


def certificate_of(facts: dict[str, Any]) -> Certificate:
    """The certificate in the facts of an update."""
    return decoded(Certificate, facts["certificate"])

"""A certificate in words: the comparison, the proof, its assumptions, and the limits."""

import math
from typing import TYPE_CHECKING

from certunl.certificates.budget import joint
from certunl.certificates.gaussian import noise_ratio
from certunl.certificates.guarantee import SENSES

if TYPE_CHECKING:
    from certunl.certificates.certificate import Certificate

__all__ = ["EXPLAINED", "NOT_COVERED", "ON_FEATURES", "printed"]

EXPLAINED = {
    "PROVED": "the code proves every assumption, and the noise does not depend on the request",
    "CONDITIONAL": "true {}",
    "VACUOUS": "the bound is no smaller than one proved for doing nothing, the noise is enough for the whole "
    "ball, epsilon exceeds 20, or delta reaches 0.1",
    "NOT CERTIFIED": "no theorem here bounds the distance of the update to its reference",
    "REFUTED": "an audit contradicts the certificate, at the stated confidence",
}
"""The verdicts in words. `certify` gives one of the first four, and an audit may find REFUTED against any of them."""

NOT_COVERED = (
    "the un-noised models; the original model, and releases made before those counted here; releases of other lines of "
    "this run; requests chosen after seeing releases; models, keys, settings, clipping norms, thresholds, numbers of "
    "steps, preprocessing, deduplication and normalisation statistics that were chosen or fitted with the forgotten "
    "data, by validation too; run folders that others could write to; readers of this process's memory; the assumption "
    "that SHAKE-256 expands 256 secret bits into random ones"
)

ON_FEATURES = "on features of another training with noise of the same network, without the request"
"""The rest of the comparison of a release on features of a network that was trained with noise."""

_ON_NOISY_FEATURES = NOT_COVERED.replace(
    "the un-noised models; the original model",
    "the states that the training of the features' extractor kept; the original head; un-noised heads that are no "
    "release",
)

_OF_NOISY_TRAINING = NOT_COVERED.replace(
    "the un-noised models; the original model",
    "the states that training kept; the original model where it is no release",
)


def printed(certificate: "Certificate") -> str:
    """The certificate in words, one line for each part."""
    c, g = certificate, certificate.guarantee
    lines = [f"{c.verdict}: {c.method}, {EXPLAINED[c.verdict].format(_conditions(c))}"]

    def add(name: str, text: str) -> None:
        lines.append(f"  {name:<14} {text}".rstrip())

    if c.epsilon is not None:
        solver = f", of which delta {g.failure_probability:.3g} for the solver" if g.failure_probability else ""
        lines.append(f"  (epsilon, delta) = ({c.epsilon:.4g}, {c.total_delta:.4g}){solver}")
    if c.epsilon is not None and g.examples and c.delta * g.examples >= 1:
        add("delta", f"at least 1/n for n = {g.examples}: a release of this delta may tell one example outright")
    same = ", plus the same noise" if c.sigma and not g.own_noise else ""
    add("compared with", g.reference + same)
    if g.before is not None:
        add("", ON_FEATURES)
    if c.epsilon is not None:
        add("in the sense", "P(A in E) <= e^epsilon P(B in E) + delta, and the reverse, for every event E")
        add("", f"A: this release    B: {SENSES[g.sense]}")
    if c.mu is not None:
        add("mu-GDP", f"{c.mu:.4g}    A and B are as hard to tell apart as N(0, 1) and N(mu, 1), or harder")
    add(f"release {c.account.releases}", _account(c))
    add(*_bound(c))
    add("noise", _noise(c))
    add("", _fixed(c))
    for a in g.assumptions:
        add(a.symbol, f"{a.value:<10.5g} {a.status:<10} {a.meaning}")
    for condition in g.unchecked:
        add("unchecked", condition)
    for condition in g.missing:
        add("missing", condition)
    noisy = _OF_NOISY_TRAINING if g.sense == "noisy training" else NOT_COVERED
    add("not covered", noisy if g.before is None else _ON_NOISY_FEATURES)
    return "\n".join(line for line in lines if line.strip())


def _conditions(certificate: "Certificate") -> str:
    """The conditions under which a CONDITIONAL certificate is true."""
    guarantee = certificate.guarantee
    open_ = sorted({a.status for a in guarantee.assumptions if a.status != "proved"}, reverse=True)
    reasons = [f"if the constants marked {' or '.join(open_)} are correct"] if open_ else []
    reasons += ["if the unchecked conditions hold"] if guarantee.unchecked else []
    reasons += (
        [] if guarantee.assumptions or guarantee.exact else ["if the bound is correct, which names no assumption"]
    )
    if not guarantee.fixed(certificate.budget):
        reasons += ["for this request alone, because its own bound determines the noise"]
    return ", and ".join(reasons)


def _bound(c: "Certificate") -> tuple[str, str]:
    """The statement of the guarantee, beside the noise scale of output perturbation if the method has its own noise."""
    if c.guarantee.says is None:
        return "distance bound", f"none    trivial bound 2C = {c.ceiling:.5g}"
    name, text = c.guarantee.says.line(c.ceiling)
    if c.guarantee.own_noise and c.epsilon and math.isfinite(c.ceiling):
        text += f"    output perturbation: sigma {noise_ratio(c.epsilon, c.delta) * c.ceiling:.5g}"
    return name, text


def _fixed(c: "Certificate") -> str:
    """The rule that determined the noise scale; empty if the method's own steps did, or without noise."""
    if c.guarantee.own_noise or not c.sigma:
        return ""
    if c.budget.sigma is not None:
        return "sigma fixed before the request"
    rule = f"{c.budget.calibration} calibration to"
    if c.budget.distance is not None:
        return f"{rule} the distance {c.budget.distance:.5g}, fixed before the request"
    whose = "is the same for every request of this size" if c.guarantee.every_request else "is this request's own"
    return f"{rule} the bound, which {whose}"


def _account(c: "Certificate") -> str:
    """The composed epsilon of all releases, or that an exact retraining spends nothing."""
    account = c.account
    if c.guarantee.restores:
        if account.shared:
            return "exact retraining of one line, which spends nothing; what the other lines spent stays spent"
        return "exact retraining, which spends nothing; the count begins again for requests to the retrained model"
    gaussian = bool(account.ratios or joint(account.common))
    delta = account.total.delta if account.total else account.least_delta + (c.delta if gaussian else 0.0)
    exact = account.epsilon(delta)
    zcdp = f" (by zCDP at most {account.zcdp_epsilon(delta):.4g})" if account.ratios else ""
    of = f" of {account.total.epsilon:g}" if account.total else ""
    mu = "" if account.mu is None else f", composed mu {account.mu:.4g}"
    since = "since training or the last exact retraining"
    return f"{since}: composed epsilon {exact:.4g}{of} at delta {delta:.4g}{zcdp}{mu}"


def _noise(c: "Certificate") -> str:
    """The noise scale, and the model's norm beside the noise's."""
    if c.guarantee.sense == "learner":
        return f"sigma {c.sigma:.5g} in the objective, none added to the parameters"
    if c.guarantee.sense == "noisy training":
        return "in the sum of gradients of every step, none added to the parameters"
    if not c.sigma:
        return "none: the release is the un-noised model"
    mostly = ", mostly noise" if c.signal_to_noise < 1 else ""
    return (
        f"sigma {c.sigma:.5g}    noise norm {c.noise_norm:.4g}, norm of the release {c.parameter_norm:.4g}, signal to "
        f"noise {c.signal_to_noise:.3g}{mostly}"
    )

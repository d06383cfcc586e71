"""A certificate in words: what is compared, what was proved, from what, and what is not covered."""

from typing import TYPE_CHECKING

from certunl.gaussian import noise_ratio

if TYPE_CHECKING:
    from certunl.certificate import Certificate

__all__ = ["EXPLAINED", "NOT_COVERED", "SENSES", "printed"]

SENSES = {
    "retraining": "the unlearner's release, and retraining plus the same noise (Sekhari et al. 2021; retraining stands "
    "for the unlearner with nothing to forget)",
    "unlearner": "the unlearner's release, and that of the same unlearner with nothing to forget (Sekhari et al. 2021)",
    "learner": "the unlearner's release, and the learning algorithm's own on the retained data (Guo et al. 2020)",
}
"""Which two mechanisms a guarantee compares."""

EXPLAINED = {
    "PROVED": "every assumption is proved by the code",
    "CONDITIONAL": "true if the constants marked given or estimated are, and what is unchecked holds, or only for this "
    "request",
    "VACUOUS": "the bound is no better than what is proved of doing nothing, or of noise for the whole ball",
    "NOT CERTIFIED": "no theorem bounds its distance to retraining here",
}

NOT_COVERED = (
    "the un-noised models; releases before this account; requests chosen by looking at releases; models, settings, "
    "preprocessing and normalisation statistics chosen or fitted with the forgotten data; noise is threefry's, with 64 "
    "bits of system entropy and in floating point: no cryptographic generator"
)


def printed(certificate: "Certificate") -> str:
    """The certificate as it is shown: a line of what each part of it says."""
    c, lines = certificate, [f"{certificate.verdict}: {certificate.method}, {EXPLAINED[certificate.verdict]}"]

    def add(name: str, text: str) -> None:
        lines.append(f"  {name:<14} {text}".rstrip())

    if c.epsilon is not None:
        solver = f", of delta {c.failure_probability:.3g} for the solver" if c.failure_probability else ""
        lines.append(f"  (epsilon, delta) = ({c.epsilon:.4g}, {c.total_delta:.4g}){solver}")
    same = ", plus the same noise" if c.sigma and not c.own_noise else ""
    add("compared with", c.reference + same)
    if c.epsilon is not None:
        add("in the sense", f"P(A) <= e^epsilon P(B) + delta both ways, A and B any event under {SENSES[c.compared]}")
    add(f"release {c.account.releases}", _account(c))
    if c.own_noise:
        add("bound", _against_own_noise(c))
    else:
        bound = "none" if c.bound is None else f"{c.bound:.5g}"
        add("distance bound", f"{bound}    trivial bound 2C = {c.trivial_bound:.5g}")
    add("noise", _noise(c))
    for a in c.assumptions:
        add(a.symbol, f"{a.value:<10.5g} {a.status:<10} {a.meaning}")
    for what in c.unchecked:
        add("unchecked", what)
    for what in c.missing:
        add("missing", what)
    add("not covered", NOT_COVERED)
    return "\n".join(lines)


def _account(c: "Certificate") -> str:
    account = c.account
    if not account.releases:
        return "exact retraining: what was spent before it is restored, 0 is spent now"
    delta = account.total.delta if account.total else c.delta + account.least_delta
    exact, zcdp = account.epsilon(delta), account.zcdp_epsilon(delta)
    of = f" of {account.total.epsilon:g}" if account.total else ""
    return f"since training: composed epsilon {exact:.4g}{of} at delta {delta:.4g} (by zCDP at most {zcdp:.4g})"


def _against_own_noise(c: "Certificate") -> str:
    held = "no Gaussian trade-off: (epsilon, delta) as proved of the steps" if c.profiled else _chain(c)
    if c.epsilon is None or not c.epsilon or c.trivial_bound == float("inf"):
        return held
    return f"{held}    output perturbation: sigma {noise_ratio(c.epsilon, c.delta) * c.trivial_bound:.5g}"


def _chain(c: "Certificate") -> str:
    return "none" if c.bound is None else f"{c.bound:.5g} against noise {c.sigma:.5g} of the method's own"


def _noise(c: "Certificate") -> str:
    if c.compared == "learner":
        return f"sigma {c.sigma:.5g}, of the objective: none is added to the parameters"
    if not c.sigma:
        return "none"
    mostly = ": mostly noise" if c.signal_to_noise < 1 else ""
    return (
        f"sigma {c.sigma:.5g}    noise norm {c.noise_norm:.4g} in a release of norm {c.parameter_norm:.4g}: signal to "
        f"noise {c.signal_to_noise:.3g}{mostly}"
    )

"""Audits: tests of the claims that certificates make, on releases.

    audit          Audit: a lower bound on epsilon with the claim, and the statistics that give such a bound
    refutation     tests by the noise of one release, or by many runs of two mechanisms
    canaries       a test by examples that coins put into one run or leave out
    one_run        the bounds that follow from guesses of such coins

An audit can refute a certificate; it never proves one.
"""

from certunl.audits.audit import Audit, epsilon_lower_bound
from certunl.audits.canaries import audit_canaries
from certunl.audits.one_run import one_run_lower_bound
from certunl.audits.refutation import audit_release, audit_runs

__all__ = [
    "Audit",
    "audit_canaries",
    "audit_release",
    "audit_runs",
    "epsilon_lower_bound",
    "one_run_lower_bound",
]

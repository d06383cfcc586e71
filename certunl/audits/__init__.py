"""Audits: what was seen of releases, held against what their certificates claim.

    audit          Audit: a lower bound on epsilon beside the claim, and the statistics that give one
    refutation     by the noise of one release, or by many runs of two mechanisms
    canaries       by examples put in or left out by coins, in one run

An audit can refute a certificate; it never proves one.
"""

from certunl.audits.audit import Audit, epsilon_lower_bound, one_run_lower_bound
from certunl.audits.canaries import audit_canaries
from certunl.audits.refutation import audit_release, audit_runs

__all__ = [
    "Audit",
    "audit_canaries",
    "audit_release",
    "audit_runs",
    "epsilon_lower_bound",
    "one_run_lower_bound",
]

"""Certificates of releases. A guarantee (a bound or the method's own noise) and a budget determine the certificate.

    gaussian       the noise scale for an (epsilon, delta), and the epsilon of a noise scale
    mixtures       the epsilon of steps that hold a random number of the forgotten
    budget         Budget: the privacy budget of a release
    account        Account: the spending of all releases of a run
    statement      Distance, OwnNoise, Pairs: the three statements of theorems, and the noise and epsilon of each
    guarantee      Guarantee, Assumption: a statement, its reference and its assumptions
    update         Update, Unlearner: the un-noised result of forgetting, and the contract of a method
    calibration    certify: check, calibrate, draw the noise, sign
    secret         Secret, secret_key: 256 bits of entropy, spent by their first use
    noise          Gaussians rounded to a grid, sampled exactly from the bytes of a secret
    printing       a certificate in words
    certificate    Certificate, Release, and the printed certificate

An update from any method can be certified:

    guarantee = Guarantee(says=Distance(0.1), reference=REPLAY, assumptions=(...,))
    release = certify(Update(params=params, method="mine", guarantee=guarantee), Budget(...), secret_key())
"""

from certunl.certificates.account import Account
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.guarantee import REPLAY, Assumption, Guarantee, minimiser
from certunl.certificates.secret import Secret, secret_key
from certunl.certificates.statement import Distance, OwnNoise, Pairs
from certunl.certificates.update import Unlearner, Update, declared

__all__ = [
    "REPLAY",
    "Account",
    "Assumption",
    "Budget",
    "Certificate",
    "Distance",
    "Guarantee",
    "OwnNoise",
    "Pairs",
    "Release",
    "Secret",
    "Unlearner",
    "Update",
    "certify",
    "declared",
    "minimiser",
    "secret_key",
]

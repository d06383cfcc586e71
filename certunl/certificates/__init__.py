"""What a release is worth: a bound or the method's own noise, a budget, and the certificate that follows from the two.

    gaussian       the noise that (epsilon, delta) asks for, and the reverse
    budget         Budget, Account: what a release may spend, and what its line has spent
    guarantee      Assumption, the references and senses that a bound speaks of
    update         Update, Unlearner: what forgetting gives, and the contract of whatever forgets
    calibration    certify, secret_key: check, calibrate, draw, sign
    certificate    Certificate, Release, and the certificate in words

An update of any origin can be certified:

    update = Update(params=params, method="mine", reference=REPLAY, bound=0.1, assumptions=(...,))
    release = certify(update, Budget(epsilon=1.0, delta=1e-5), secret_key())
"""

from certunl.certificates.budget import Account, Budget
from certunl.certificates.calibration import certify, secret_key
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.guarantee import REPLAY, Assumption, minimiser
from certunl.certificates.update import Unlearner, Update

__all__ = [
    "REPLAY",
    "Account",
    "Assumption",
    "Budget",
    "Certificate",
    "Release",
    "Unlearner",
    "Update",
    "certify",
    "minimiser",
    "secret_key",
]

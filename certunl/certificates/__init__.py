"""What a release is worth: a bound or the method's own noise, a budget, and the certificate that follows from the two.

    gaussian       the noise that (epsilon, delta) asks for, and the reverse
    budget         Budget, Account: what a release may spend, and what its line has spent
    statement      Distance, OwnNoise, Pairs: the three things a theorem can say, and what a budget makes of each
    guarantee      Guarantee, Assumption: a statement, the reference it speaks of, and what it rests on
    update         Update, Unlearner: what forgetting gives, and the contract of whatever forgets
    calibration    certify, secret_key: check, calibrate, draw, sign
    certificate    Certificate, Release, and the certificate in words

An update of any origin can be certified:

    guarantee = Guarantee(says=Distance(0.1), reference=REPLAY, assumptions=(...,))
    release = certify(Update(params=params, method="mine", guarantee=guarantee), Budget(...), secret_key())
"""

from certunl.certificates.budget import Account, Budget
from certunl.certificates.calibration import certify, secret_key
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.guarantee import REPLAY, Assumption, Guarantee, minimiser
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
    "Unlearner",
    "Update",
    "certify",
    "declared",
    "minimiser",
    "secret_key",
]

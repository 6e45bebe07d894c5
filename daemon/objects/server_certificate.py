"""Why the certificate of a store's server was not accepted; it is behind the errors of three libraries."""

import os
import ssl
from collections.abc import Iterator

from urllib3.util.ssl_match_hostname import CertificateError

BUNDLE = "AWS_CA_BUNDLE"
"""The variable that names the file with the authorities to trust, instead of those of the system."""


def objection(error: BaseException) -> str | None:
    """The reason in the words of OpenSSL or urllib3, which have no secrets; None if the certificate is not the problem."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}".rstrip(".")
        if isinstance(cause, CertificateError):
            return f"its certificate is not accepted: {cause}"
    bundle = os.environ.get(BUNDLE)
    if bundle and not os.access(bundle, os.R_OK):
        return f"{bundle}, which {BUNDLE} names, can't be read"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised for or carries as its argument."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop()
        if id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            carried = (*cause.args, cause.__cause__, cause.__context__)
            waiting += [one for one in carried if isinstance(one, BaseException)]

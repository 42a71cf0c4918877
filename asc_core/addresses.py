"""Addresses as they may be shown: whoever may read a log need not know the password of a server."""

import re

SCHEME = r"\b[A-Za-z][\w+.-]+:/{1,2}"
# Up to the last @ before a path, as servers' addresses have it; else a name, and a password with any sign but a space
# and @, as databases' addresses have it. What begins with a port is no password.
USER = r"[^\s/?#]*@|[^\s/:@]*:(?!\d+(?:[/?#\s]|$))[^\s@]*@"
PARAMETER = r"([?&][\w.-]*(?:pass|pwd|secret|token|key|sig|credential)[\w.-]*=)[^\s&#'\"]+"


def without_credentials(text: str) -> str:
    """A text without the user information of the addresses in it, and without the passwords among their parameters.

    >>> without_credentials("http://user:secret@host:5000/path")
    'http://host:5000/path'
    """
    return re.sub(PARAMETER, r"\1***", re.sub(f"({SCHEME})(?:{USER})+", r"\1", text), flags=re.IGNORECASE)


def public(address: str) -> str:
    """The same of one address alone; also of one that is none, because its beginning was forgotten.

    >>> public("user:secret@host/path")
    'host/path'
    """
    shown = without_credentials(address)
    return shown if ":/" in shown else shown.rpartition("@")[2]

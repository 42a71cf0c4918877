"""Foreign names in lines for people and in cells for spreadsheets: file names, labels, devices, texts of errors.

Nothing of ours stands in them, so they may hold whatever a file system or a corpus lets a name hold.
"""

import unicodedata

JOINERS = "\u200c\u200d"  # invisible, and part of how names in some scripts are written
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and as wide as Chinese signs


def printable(text: object) -> str:
    r"""A text as it may reach a terminal or a log: in one line, what cannot be shown as Python escapes it.

    That is control characters (escape sequences move cursors and rename windows), separators of lines, signs that turn
    the direction of the text around them, and the bytes of a file name that are no UTF-8.

    >>> printable("caf\udce9\n.wav")
    'caf\\xe9\\n.wav'
    """
    string = str(text)
    return string if string.isprintable() else "".join(map(_shown, string))


def cell(text: object) -> str:
    """A text as a cell of a table that a spreadsheet may open: printable, and never a formula (as OWASP advises)."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _shown(sign: str) -> str:
    if sign.isprintable() or sign in JOINERS or unicodedata.category(sign) == "Zs":  # spaces of any width
        return sign
    if "\udc80" <= sign <= "\udcff":  # how Python keeps a byte that is no UTF-8
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode("ascii")

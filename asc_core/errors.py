"""The one exception that carries a user's mistake from the library to every entry point, and what becomes one."""

from asc_core.text import printable


class UserError(Exception):
    """Something only the user can mend: a bad file, a bad parameter, a budget exceeded.

    Its text is one line that names the file, row or key and says what to do. Entry points print it without a
    traceback and exit with code 1.
    """


class ConfigError(UserError, ValueError):
    """A configuration cannot be used: `field` of it, or what several of its fields make together.

    It is a ValueError too, so that a reader of configuration files that builds one (pydantic, say) can add which of
    its keys it was.
    """

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason, self.field = reason, field


# What reading an ill-made file can raise, here and in the libraries that read it.
ILL_MADE = (UserError, ArithmeticError, EOFError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


def reason(error: Exception) -> str:
    """What an exception says, in one short line for a message that names the file."""
    return printable(" ".join(str(error).split()))[:200] or type(error).__name__

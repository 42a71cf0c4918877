"""The one exception that carries a user's mistake from the library to every entry point."""


class UserError(Exception):
    """Something only the user can mend: a bad file, a bad parameter, a budget exceeded.

    Its text is one line that names the file, row or key and says what to do. Entry points print it without a
    traceback and exit with code 1.
    """

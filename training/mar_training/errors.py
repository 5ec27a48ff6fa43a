"""The one exception that reaches a person as a sentence instead of a traceback."""


class MarError(Exception):
    """Something the person at the keyboard can mend: says what is wrong, where, and what to do."""

"""The errors that the command shows in one line."""


class InputError(ValueError):
    """Bad input: one line that names the argument, the rule and the value.

    The command line shows it without a traceback and exits with 2.
    """


class RunError(RuntimeError):
    """A run that failed: one line that says where.

    The command line shows it without a traceback and exits with 1.
    """

"""Errors that the command line prints as one line."""


class InputError(ValueError):
    """Error for invalid input, whose message is one line.

    It names the argument, the rule and the value received. The command line
    prints it without a traceback and exits with code 2.
    """


class RunError(RuntimeError):
    """Error for a failed run, whose message is one line.

    The command line prints it without a traceback and exits with code 1.
    """

"""The errors that a program's user sees. Every program prints such an error's text and ends."""


class PipelineError(Exception):
    """The text is one line that names the thing, the value, and what to do or what happens next."""


class UserError(PipelineError):
    """A person can mend this, and the text says how."""


class Unavailable(PipelineError):
    """A service does not answer or is out of order; the same request may succeed later."""

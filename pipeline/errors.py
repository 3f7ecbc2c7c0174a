"""The one error for what a person can mend."""


class UserError(Exception):
    """A mistake that a person can mend; its text is one line that names thing, value and mend."""

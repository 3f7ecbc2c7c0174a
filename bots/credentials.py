"""Takes X's credentials from the operator: piped in, or typed without being shown."""

import sys
from getpass import getpass

from pipeline.errors import UserError
from pipeline.x import Keys, required


def keys() -> str:
    """The four keys of one account as JSON; UserError if one is missing."""
    if sys.stdin.isatty():
        typed = {name: getpass(f"{name}: ") for name in Keys.model_fields}
        return Keys.model_validate(typed).model_dump_json()
    return Keys.parse(sys.stdin.read()).model_dump_json()


def bearer() -> str:
    """The bearer token that reads timelines."""
    text = getpass("bearer token: ") if sys.stdin.isatty() else sys.stdin.read()
    token = required(text, "bearer token", "bots credentials --bearer")
    if len(token.split()) != 1:
        raise UserError(
            "the bearer token has spaces or line breaks; give the token alone to"
            " `bots credentials --bearer`"
        )
    return token

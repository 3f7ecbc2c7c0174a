"""Finds out whose archive it is: every layout says it, in a file of its own."""

import re
from collections.abc import Callable
from typing import Any

from pipeline.archive.files import File, Kind
from pipeline.errors import UserError
from pipeline.index import Owner

_HANDLE = re.compile(r"\w{1,20}", re.ASCII)  # the oldest are longer than today's may be
_ID = re.compile(r"[0-9]{1,20}")

# Where each of these files has the user's id and handle. Other keys are private.
_OWNERS: dict[Kind, Callable[[Any], tuple[Any, Any]]] = {
    "manifest": lambda value: (value["userInfo"].get("accountId"), value["userInfo"]["userName"]),
    "account": lambda value: (
        value[0]["account"].get("accountId"),
        value[0]["account"]["username"],
    ),
    "user": lambda value: (value.get("id"), value["screen_name"]),
}


def stated(file: File, value: Any) -> Owner | None:
    """The owner that a file with that value states; None if it is no file that states one."""
    if file.kind not in _OWNERS:
        return None
    try:
        user_id, handle = _OWNERS[file.kind](value)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise file.fault("does not say whose archive it is") from None
    user_id = None if user_id is None else str(user_id)
    if not (isinstance(handle, str) and _HANDLE.fullmatch(handle)) or not (
        user_id is None or _ID.fullmatch(user_id)
    ):
        raise file.fault("does not say whose archive it is")
    return Owner(user_id, handle)


def agreed(owners: dict[str, Owner], said: Owner | None, label: str) -> Owner:
    """The one owner of an archive.

    Args:
        owners: What its files state, by the names of the files.
        said: Who the person who imports it says it is.
        label: The archive's name.

    Raises:
        UserError: Two of them are different people, or nobody says whose archive it is.
    """
    claims = list(owners.items()) + ([("`--owner`", said)] if said else [])
    if not claims:
        raise UserError(
            f"nothing in {label} says whose tweets these are; say it with `--owner HANDLE`, or"
            " `--owner HANDLE:ID` if you know their user id"
        )
    (first, owner), *others = claims
    for name, other in others:
        if not _is_same(owner, other):
            raise UserError(
                f"{first} names {_name(owner)}, and {name} names {_name(other)}; an archive is of"
                " one person, so import each person's for an account of their own"
            )
        # What was said counts: a person who changed their handle is known by their id.
        owner = Owner(owner.user_id or other.user_id, other.handle)
    return owner


def _is_same(one: Owner, other: Owner) -> bool:
    if one.user_id and other.user_id:
        return int(one.user_id) == int(other.user_id)
    return one.handle.lower() == other.handle.lower()


def _name(owner: Owner) -> str:
    return f"@{owner.handle} (user id {owner.user_id})" if owner.user_id else f"@{owner.handle}"

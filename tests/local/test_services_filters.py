"""The filters of build triggers."""

import pytest

from local.services import filters

VALUES = {"_EVENT_TYPE": "OBJECT_FINALIZE", "_OBJECT": "rollout/live/keeper.json"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('_EVENT_TYPE == "OBJECT_FINALIZE"', True),
        ("_EVENT_TYPE == 'OBJECT_DELETE'", False),
        ('_EVENT_TYPE != "OBJECT_DELETE"', True),
        ('"OBJECT_FINALIZE" == _EVENT_TYPE', True),
        ('_OBJECT.matches("^rollout/(live|base)/[a-z0-9-]+[.]json$")', True),
        ('_OBJECT.matches("^rollout/(live|base)/[a-z0-9-]+[.]txt$")', False),
        ('_OBJECT.matches("live")', True),
        ('_OBJECT.startsWith("rollout/")', True),
        ('_OBJECT.endsWith(".json") && _OBJECT.contains("/base/")', False),
        ('_EVENT_TYPE == "x" || _OBJECT.startsWith("rollout/")', True),
        ('!(_EVENT_TYPE == "x")', True),
        ('_EVENT_TYPE == "x" && _EVENT_TYPE == "y" || _OBJECT.endsWith("json")', True),
        ('_EVENT_TYPE == "x" && (_EVENT_TYPE == "y" || _OBJECT.endsWith("json"))', False),
        ('_ABSENT == ""', True),
    ],
)
def test_a_filter_says_which_builds_start(expression: str, expected: bool) -> None:
    assert filters.parse(expression)(VALUES) is expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "_OBJECT",
        '_OBJECT = "x"',
        '_OBJECT == "x" &&',
        '(_OBJECT == "x"',
        '_OBJECT.size() == "3"',
        "_OBJECT.matches(_EVENT_TYPE)",
        '_OBJECT.matches("(")',
        '_OBJECT.matches("\\.json")',
        '_OBJECT == "x" _OBJECT == "y"',
        '_OBJECT in ["x"]',
        '_OBJECT == "x',
    ],
)
def test_what_is_not_understood_is_an_error_and_never_a_guess(expression: str) -> None:
    with pytest.raises(ValueError, match=r"filter|text"):
        filters.parse(expression)

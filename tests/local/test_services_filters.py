"""The filters of build triggers."""

import pytest

from local.services.cloudbuild import filters

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
        ('_OBJECT in ["x"]', False),
        ("_OBJECT.size() > 3", True),
        ("_OBJECT.matches(_EVENT_TYPE)", False),
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
        '_OBJECT.sizes("3")',
        '_OBJECT.matches("(")',
        '_OBJECT.matches("\\.json")',
        '_OBJECT == "x" _OBJECT == "y"',
        '_OBJECT == "x',
    ],
)
def test_a_filter_that_is_not_understood_is_an_error(expression: str) -> None:
    with pytest.raises(ValueError, match="is not understood"):
        filters.parse(expression)

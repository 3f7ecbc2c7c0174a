"""User names as people write them, which are mentions in any case of their letters."""

import pytest

from pipeline import text


@pytest.mark.parametrize("post", ["@LampKeeper", "hello @KEEPER_1", "RT @Lamp: fog", "Rt:@LAMP"])
def test_a_name_in_capitals_is_a_mention(post: str) -> None:
    assert text.has_mention(post)


@pytest.mark.parametrize("post", ["A@LAMP", "PART @LAMP@ROCK", "@LAMPÀ", "@LAMP://rock"])
def test_what_x_reads_as_something_else_is_no_mention(post: str) -> None:
    assert not text.has_mention(post)

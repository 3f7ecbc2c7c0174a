"""A test draws the same random values whichever tests ran before it."""

import random

import pytest

from tests.conftest import SEED


@pytest.mark.parametrize("again", [False, True])
def test_each_test_begins_at_the_seed(again: bool) -> None:
    assert random.random() == random.Random(SEED).random()

"""What is learnt of the made-up people, who label what nobody may learn."""

from collections import Counter

import pytest

from demo.samples import people
from demo.samples.people import PEOPLE
from pipeline.curation import Kept, curate
from pipeline.learn import Learn

# The people's default seed is 7, with which the rules were made.
SEED = 23


def learnt(person: str, learn: Learn) -> list[Kept]:
    return curate(people.tweets(person, 600, SEED), learn).kept


@pytest.mark.parametrize("person", PEOPLE)
def test_nothing_of_others_and_nothing_private_is_learnt(person: str) -> None:
    labelled = {sample.id: sample for sample in people.samples(person, 600, SEED)}
    kept = learnt(person, Learn())
    not_own = [labelled[one.id] for one in kept if not labelled[one.id].own]
    # Of each template of an app one text is learnt, unless the account says `never`.
    assert {oddity for sample in not_own for oddity in sample.oddities} <= {"template"}
    assert len(not_own) < len(kept) / 5
    assert len(kept) > 80


@pytest.mark.parametrize("person", PEOPLE)
def test_what_is_learnt_is_what_the_person_wrote(person: str) -> None:
    """But for hashtags behind a text, which stay, and some words that introduce a link."""
    labelled = {sample.id: sample for sample in people.samples(person, 600, SEED)}
    differ = Counter(
        bool({"hashtags", "introduced link", "bare domain"} & {*labelled[one.id].oddities})
        for one in learnt(person, Learn())
        if labelled[one.id].own not in ("", one.text)
    )
    assert differ[False] <= 1

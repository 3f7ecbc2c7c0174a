"""What of an account's tweets is learnt. The trainer gets it as the stack file has it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _compiles(pattern: str) -> str:
    # RE2 is in the images that curate. The others only read what is stored.
    from pipeline import patterns

    patterns.compiled(pattern)
    return pattern


class StoredExclude(BaseModel):
    """What is never learnt, as a document keeps it."""

    model_config = ConfigDict(frozen=True, extra="allow", revalidate_instances="subclass-instances")

    words: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")], ...],
        Field(description="tweets with one of these words or phrases, in any case, are left out"),
    ] = ()
    patterns: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=500)], ...],
        Field(
            description="tweets in which one of these regular expressions (RE2's syntax) is found"
            " are left out"
        ),
    ] = ()
    ids: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9]{1,20}$")], ...],
        Field(description="tweets with these ids, in quotes, are left out"),
    ] = ()


class Exclude(StoredExclude):
    """Tweets that are never learnt."""

    model_config = ConfigDict(extra="forbid")

    patterns: Annotated[
        tuple[
            Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_compiles)],
            ...,
        ],
        Field(description=StoredExclude.model_fields["patterns"].description),
    ] = ()


class StoredLearn(BaseModel):
    """What is learnt, as a document keeps it: it keeps keys that this program does not know."""

    # A document that is made with Learn must equal the one that is read back.
    model_config = ConfigDict(frozen=True, extra="allow", revalidate_instances="subclass-instances")

    replies: Annotated[
        bool,
        Field(
            description="whether answers to others are learnt, without the names that they begin"
            " with; one's own threads always are"
        ),
    ] = False
    quotes: Annotated[
        bool,
        Field(description="whether one's own words about a quoted tweet are learnt"),
    ] = True
    apps: Annotated[
        Literal["once", "never", "all"],
        Field(
            description="what other apps wrote (`I just posted a photo`) and what repeats a"
            " template: `once` for each template, `never`, or `all` of it"
        ),
    ] = "once"
    hashtags: Annotated[
        Literal["keep", "words", "drop"],
        Field(
            description="`keep` them, keep the `words` without the sign, or `drop` those around a"
            " text; those within a sentence then lose the sign"
        ),
    ] = "keep"
    mentions: Annotated[
        Literal["keep", "words", "drop"],
        Field(
            description="names of others within a text: `keep` them, keep the `words` without the"
            " sign, or `drop` the tweets that have any"
        ),
    ] = "keep"
    min_words: Annotated[
        int,
        Field(
            ge=1,
            le=50,
            description="shorter texts are left out; where a script has no spaces, two characters"
            " count as a word",
        ),
    ] = 1
    exclude: Annotated[StoredExclude, Field(description="tweets that are never learnt")] = (
        StoredExclude()
    )


class Learn(StoredLearn):
    """What of an account's tweets is learnt; [curation.md](curation.md) has the rules."""

    model_config = ConfigDict(extra="forbid")

    exclude: Annotated[  # pyright: ignore[reportIncompatibleVariableOverride]  # it is frozen
        Exclude, Field(description="tweets that are never learnt")
    ] = Exclude()

    @classmethod
    def known(cls, stored: StoredLearn) -> "Learn":
        """The stored ones, as far as this program knows them."""
        keys = dict.fromkeys(Learn.model_fields, True) | {"exclude": {*Exclude.model_fields}}
        return cls.model_validate(stored.model_dump(include=keys))

    def match(self, stored: StoredLearn) -> bool:
        """Whether the stored ones are these, as far as this program knows them."""
        return self == Learn.known(stored)

"""The settings of training. The trainer gets them as the stack file has them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class StoredSettings(BaseModel):
    """Training settings as a manifest keeps them; the defaults are for GPT-2 124M on one GPU.

    Like all stored documents, a manifest keeps settings that this program does not know.
    """

    # A manifest that is made with Settings must equal the one that is read back.
    model_config = ConfigDict(frozen=True, extra="allow", revalidate_instances="subclass-instances")

    base_model: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$",
            description="the base model of an account's first training; its files are in `base/` of"
            " the models bucket",
        ),
    ] = "124M"
    steps: Annotated[
        int, Field(ge=1, le=100_000, description="how many steps an account is trained for")
    ] = 300
    learning_rate: Annotated[
        float,
        Field(
            gt=0,
            le=0.1,
            description="the learning rate of Adam, the optimizer; a training that starts from a"
            " release uses a quarter of it",
        ),
    ] = 1e-4
    batch_size: Annotated[
        int, Field(ge=1, le=256, description="how many examples each step trains on")
    ] = 1
    window: Annotated[
        int, Field(ge=16, le=1024, description="how many tokens a training example has")
    ] = 256
    save_every: Annotated[
        int,
        Field(
            ge=1,
            description="how many steps lie between two checkpoints; the one with the lowest"
            " held-out loss is kept",
        ),
    ] = 30
    min_tweets: Annotated[
        int, Field(ge=20, description="an account with fewer tweets is not trained")
    ] = 100
    min_new_tweets: Annotated[
        int,
        Field(
            ge=1,
            description="an account with fewer tweets since its live release is skipped, unless"
            " the settings have changed",
        ),
    ] = 20
    seed: Annotated[int, Field(description="makes the random choices of training repeatable")] = 1


class Settings(StoredSettings):
    """Training settings in a stack file. An unknown setting is an error."""

    model_config = ConfigDict(extra="forbid")

    def match(self, stored: StoredSettings) -> bool:
        """Whether the stored settings are these, as far as this program knows them."""
        return self.model_dump() == stored.model_dump(include={*Settings.model_fields})

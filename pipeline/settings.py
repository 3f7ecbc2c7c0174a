"""How a model is trained. The stack file's settings reach the trainer unchanged."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class StoredSettings(BaseModel):
    """Training settings as a manifest keeps them; the defaults are for GPT-2 124M on one GPU.

    Like all stored documents, a manifest keeps settings that this program does not know.
    """

    # A manifest that is made of Settings equals the one that is read back.
    model_config = ConfigDict(frozen=True, extra="allow", revalidate_instances="subclass-instances")

    base_model: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$",
            description="the model under `base/` of the models bucket that an account starts from",
        ),
    ] = "124M"
    steps: Annotated[int, Field(ge=1, le=100_000, description="at most, an account")] = 300
    learning_rate: Annotated[float, Field(gt=0, le=0.1, description="of Adam")] = 1e-4
    batch_size: Annotated[int, Field(ge=1, le=256, description="examples a step")] = 1
    window: Annotated[int, Field(ge=16, le=1024, description="tokens a training example")] = 256
    save_every: Annotated[int, Field(ge=1, description="steps between two evaluations")] = 30
    min_tweets: Annotated[int, Field(ge=20, description="fewer: the account is not trained")] = 100
    min_new_tweets: Annotated[int, Field(ge=1, description="fewer since live: skipped")] = 20
    seed: Annotated[int, Field(description="of all that is random in training")] = 1


class Settings(StoredSettings):
    """Training settings as the stack file gives them: a misspelt one is an error."""

    model_config = ConfigDict(extra="forbid")

    def match(self, stored: StoredSettings) -> bool:
        """Whether the stored settings are these, as far as this program knows them."""
        return self.model_dump() == stored.model_dump(include={*Settings.model_fields})

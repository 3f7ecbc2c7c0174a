"""A GPT-2 vocabulary, without TensorFlow: encodes text to token ids and decodes them."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from pipeline.errors import UserError

END = "<|endoftext|>"
CONTEXT = 1024
"""The tokens that GPT-2 sees at once, in every size of the model."""


class Vocabulary:
    """The byte-level BPE of `encoder.json` and `vocab.bpe`, with the ids of gpt-2-simple.

    Attributes:
        end: The id of the end token, which stands before, between and after tweets. Only OpenAI's
            own vocabulary has it at 50256.
        size: The number of tokens.
    """

    def __init__(self, folder: Path) -> None:
        """Load the vocabulary; raises UserError if `folder` does not hold one."""
        try:
            vocabulary, merges = BPE.read_file(
                str(folder / "encoder.json"), str(folder / "vocab.bpe")
            )
        except Exception as error:  # tokenizers raises a bare Exception for whatever it cannot read
            raise UserError(f"{folder} holds no readable GPT-2 vocabulary: {error}") from error
        self._tokenizer = Tokenizer(BPE(vocabulary, merges))
        self._tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        self._tokenizer.decoder = ByteLevelDecoder()
        end = self._tokenizer.token_to_id(END)
        if end is None:
            raise UserError(f"{folder / 'encoder.json'} has no end token {END}")
        self.end: int = end
        self.size: int = self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; an end token that is spelt out in it is encoded as ordinary text."""
        return self._tokenizer.encode(text).ids

    def between_ends(self, text: str) -> list[int]:
        """The ids of `text` between two end tokens, cut where the context is full."""
        return [self.end, *self.encode(text)[: CONTEXT - 2], self.end]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`, without end tokens; bytes that are not UTF-8 become U+FFFD."""
        return self._tokenizer.decode([i for i in ids if i != self.end])

    def token(self, id: int) -> str:  # noqa: A002
        """The token of an id as CTranslate2 spells it."""
        token = self._tokenizer.id_to_token(id)
        if token is None:
            raise ValueError(f"no token has the id {id}")
        return token

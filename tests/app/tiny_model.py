"""Makes a random CTranslate2 model with its own vocabulary, in the files of a release."""

import itertools
import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from tokenizers.pre_tokenizers import ByteLevel

END = "<|endoftext|>"


@dataclass(frozen=True)
class Shape:
    """The shape of a GPT-2; `tokens` counts neither single bytes nor the end token."""

    layers: int = 1
    heads: int = 1
    width: int = 16
    context: int = 300
    tokens: int = 0
    scale: float = 0.3


SHAPE_124M = Shape(layers=12, heads=12, width=768, context=1024, tokens=50_000, scale=0.02)


def build(folder: Path, shape: Shape | None = None) -> None:
    """Write model.bin, config.json, vocabulary.json, encoder.json and vocab.bpe."""
    shape = shape or Shape()
    invented = map("".join, itertools.product(string.ascii_lowercase, repeat=4))
    further = [f"{word}." for word in itertools.islice(invented, shape.tokens)]
    tokens = [*sorted(ByteLevel.alphabet()), *further, END]
    (folder / "encoder.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n")
    spec = _spec(tokens, shape)
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))


def _spec(tokens: list[str], shape: Shape) -> Any:
    random = np.random.default_rng(1)
    width = shape.width

    def some(*size: int) -> Any:
        return (random.standard_normal(size) * shape.scale).astype(np.float32)

    spec: Any = transformer_spec.TransformerDecoderModelSpec.from_config(
        shape.layers, shape.heads, pre_norm=True, activation=common_spec.Activation.GELUTanh
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.position_encodings.encodings = some(shape.context, width)
    decoder.embeddings.weight = some(len(tokens), width)
    decoder.projection.weight = decoder.embeddings.weight
    # Letters and the end token are likely; other bytes are not.
    decoder.projection.bias = np.array([_bias(token) for token in tokens], np.float32)
    norms = [decoder.layer_norm]
    for layer in decoder.layer:
        norms += [layer.self_attention.layer_norm, layer.ffn.layer_norm]
        for linear, outputs, inputs in (
            (layer.self_attention.linear[0], 3 * width, width),
            (layer.self_attention.linear[1], width, width),
            (layer.ffn.linear_0, 4 * width, width),
            (layer.ffn.linear_1, width, 4 * width),
        ):
            linear.weight, linear.bias = some(outputs, inputs), np.zeros(outputs, np.float32)
    for norm in norms:
        norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = END
    spec.register_vocabulary(tokens)
    return spec


def _bias(token: str) -> float:
    if token == END:
        return 6
    return 8 if token.isascii() and token.islower() and len(token) == 1 else -8

"""A random CTranslate2 model with a vocabulary of its own, in the files that a release has."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from tokenizers.pre_tokenizers import ByteLevel

END = "<|endoftext|>"
WIDTH = 16
CONTEXT = 300


def build(folder: Path) -> None:
    """Write model.bin, config.json, vocabulary.json, encoder.json and vocab.bpe."""
    tokens = [*sorted(ByteLevel.alphabet()), END]
    (folder / "encoder.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n")
    spec = _spec(tokens)
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))


def _spec(tokens: list[str]) -> Any:
    random = np.random.default_rng(1)

    def some(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.3).astype(np.float32)

    spec: Any = transformer_spec.TransformerDecoderModelSpec.from_config(
        1, 1, pre_norm=True, activation=common_spec.Activation.GELUTanh
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.position_encodings.encodings = some(CONTEXT, WIDTH)
    decoder.embeddings.weight = some(len(tokens), WIDTH)
    decoder.projection.weight = decoder.embeddings.weight
    # Letters and the end are likely, bytes that are no text are not.
    decoder.projection.bias = np.array([_liking(token) for token in tokens], np.float32)
    layer = decoder.layer[0]
    for norm in (decoder.layer_norm, layer.self_attention.layer_norm, layer.ffn.layer_norm):
        norm.gamma, norm.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    for linear, outputs, inputs in (
        (layer.self_attention.linear[0], 3 * WIDTH, WIDTH),
        (layer.self_attention.linear[1], WIDTH, WIDTH),
        (layer.ffn.linear_0, 4 * WIDTH, WIDTH),
        (layer.ffn.linear_1, WIDTH, 4 * WIDTH),
    ):
        linear.weight, linear.bias = some(outputs, inputs), np.zeros(outputs, np.float32)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = END
    spec.register_vocabulary(tokens)
    return spec


def _liking(token: str) -> float:
    if token == END:
        return 6
    return 8 if token.isascii() and token.islower() else -8

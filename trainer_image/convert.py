"""Converts a gpt-2-simple checkpoint to CTranslate2, which serves it without TensorFlow.

CTranslate2's own converters read only OpenNMT's and Hugging Face's models.
"""

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.tokens import END

VOCABULARY_FILES = ("encoder.json", "vocab.bpe")


def read_weights(checkpoint: Path) -> dict[str, Any]:
    """The tensors of a checkpoint by name; `checkpoint` is a prefix, such as `run/model-30`.

    TensorFlow compares each tensor with its checksum and raises an OpError if they differ.
    """
    tf: Any = import_module("tensorflow")
    reader = tf.train.load_checkpoint(str(checkpoint))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def convert(weights: dict[str, Any], layout: Path, out: Path, quantization: str) -> None:
    """Write the model to the folder `out`, in place of whatever is there.

    Args:
        weights: The tensors, as `read_weights` returns them.
        layout: A folder with the model's vocabulary and hparams.
        out: The folder to write.
        quantization: CTranslate2's name for it, "float32" or "int8".
    """
    specs: Any = import_module("ctranslate2.specs.transformer_spec")
    common: Any = import_module("ctranslate2.specs.common_spec")
    shape = json.loads((layout / "hparams.json").read_text())
    ids: dict[str, int] = json.loads((layout / "encoder.json").read_text())
    spec = specs.TransformerDecoderModelSpec.from_config(
        shape["n_layer"], shape["n_head"], pre_norm=True, activation=common.Activation.GELUTanh
    )
    _fill(spec.decoder, weights)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = END
    spec.register_vocabulary(sorted(ids, key=lambda token: ids[token]))
    spec.validate()
    spec.optimize(quantization=quantization)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spec.save(str(out))
    for name in VOCABULARY_FILES:
        shutil.copyfile(layout / name, out / name)


def _fill(decoder: Any, weights: dict[str, Any]) -> None:
    """Put GPT-2's tensors into CTranslate2's specification."""

    def norm(target: Any, name: str) -> None:
        target.gamma, target.beta = weights[f"{name}/g"], weights[f"{name}/b"]

    def linear(target: Any, name: str) -> None:
        # gpt-2-simple keeps weights as [1, in, out], CTranslate2 as [out, in].
        target.weight = np.ascontiguousarray(weights[f"{name}/w"][0].T)
        target.bias = weights[f"{name}/b"]

    decoder.embeddings.weight = decoder.projection.weight = weights["model/wte"]
    decoder.position_encodings.encodings = weights["model/wpe"]
    decoder.scale_embeddings = False
    norm(decoder.layer_norm, "model/ln_f")
    for number, layer in enumerate(decoder.layer):
        name = f"model/h{number}"
        attention, feed_forward = layer.self_attention, layer.ffn
        norm(attention.layer_norm, f"{name}/ln_1")
        linear(attention.linear[0], f"{name}/attn/c_attn")
        linear(attention.linear[1], f"{name}/attn/c_proj")
        norm(feed_forward.layer_norm, f"{name}/ln_2")
        linear(feed_forward.linear_0, f"{name}/mlp/c_fc")
        linear(feed_forward.linear_1, f"{name}/mlp/c_proj")

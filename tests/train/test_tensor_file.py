"""The file of a checkpoint: what was packed comes back, and no bit can change unseen."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from softgrad.train.tensor_file import FORMAT, TensorFileError, pack, unpack

TENSORS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bias": np.array([-0.0, math.nan, math.inf]),
    "none": np.zeros((0, 3), np.float32),
}
DESCRIPTION = {"names": ["a", "ü"], "epoch": 3, "loss": 0.5}


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_what_was_packed_comes_back():
    tensors, description = unpack(pack(TENSORS, DESCRIPTION))
    assert description == DESCRIPTION
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (tensors[name].dtype, tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert tensors[name].tobytes() == tensor.tobytes()


def test_no_bit_can_flip_unseen():
    content = pack({"weight": TENSORS["weight"]}, {"epoch": 3})
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TensorFileError):
            unpack(bytes(damaged))


@pytest.mark.parametrize("size", [0, 7, 8, 9, 100, -1])
def test_a_part_of_a_file_is_refused(size):
    with pytest.raises(TensorFileError, match="is damaged or no safetensors file"):
        unpack(pack(TENSORS, DESCRIPTION)[:size])


def test_tensors_or_a_description_of_another_file_are_refused():
    ours, theirs = pack(TENSORS, {"epoch": 3}), pack({**TENSORS, "weight": TENSORS["weight"] + 1}, {"epoch": 3})
    begin = 8 + int.from_bytes(ours[:8], "little")
    with pytest.raises(TensorFileError, match="have not the digest they should"):
        unpack(ours[:begin] + theirs[begin:])


BF16 = {"weight": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (save({"weight": np.zeros(3)}), "is no softgrad checkpoint"),
        (save({"weight": np.zeros(3)}, {"format": "pt"}), "is no softgrad checkpoint"),
        (file_of(BF16 | {"__metadata__": {"format": "pt"}}, b"1234"), "is no softgrad checkpoint"),
        (file_of(BF16 | {"__metadata__": {"format": FORMAT}}, b"1234"), "is damaged or no safetensors file"),
        (save({"weight": np.zeros(3)}, {"format": FORMAT}), "have not the digest they should"),
        (save({}, {"format": "softgrad-checkpoint-1"}), r"is of another version of softgrad \(softgrad-checkpoint-1"),
        (file_of([]), "is damaged or no safetensors file"),
        (file_of({"__metadata__": []}), "is damaged or no safetensors file"),
        (file_of({"__metadata__": {"format": 1}}), "is damaged or no safetensors file"),
        (file_of(b"[" * 10**5), "is damaged or no safetensors file"),
        (file_of(b"\xff\xfe"), "is damaged or no safetensors file"),
        (b"\x80\x04pickled, perhaps", "is damaged or no safetensors file"),
        (b"\xff" * 100, "is damaged or no safetensors file"),
    ],
)
def test_what_is_no_file_of_ours_is_named(content, says):
    with pytest.raises(TensorFileError, match=says) as refusal:
        unpack(content)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 10**5, "9" * 5000])
def test_a_description_that_is_no_json_is_damaged(text, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("softgrad.train.strict_json.dumps", lambda value: text if value == 3 else json.dumps(value))
        content = pack({}, {"epoch": 3})
        with pytest.raises(TensorFileError, match="has a damaged description"):
            unpack(content)


def test_what_is_not_finite_in_a_description_is_none():
    _, description = unpack(pack({}, {"loss": math.nan, "losses": [math.inf, 1.0]}))
    assert description == {"loss": None, "losses": [None, 1.0]}

"""A file of named tensors and what is to be known of them: safetensors, with a digest over all of it.

Tensors lie in the file as they are, without a check of their own: a bit that flips on a disk or on the way would
otherwise train on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from softgrad.terminal import one_line
from softgrad.train import strict_json

FORMAT = "softgrad-checkpoint-2"

# The size of the header comes first, in so many bytes.
SIZE_BYTES = 8


class TensorFileError(Exception):
    """What a file is instead of one of ours, as in "the file ... ", and the remedy."""


def pack(tensors: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> bytes:
    """The contents of a file with those C-contiguous tensors and that description, values of JSON's types by name."""
    strings = {"format": FORMAT, **{name: strict_json.dumps(value) for name, value in description.items()}}
    return save_safetensors(dict(tensors), metadata=strings | {"sha256": _digest(tensors, strings)})


def unpack(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the description that `pack` was given; None stands for what was not finite in it.

    Raises
    ------
    TensorFileError
        If the contents are not those of such a file, in every bit.
    """
    try:
        strings = _metadata(content)
        found = strings.pop("format", "")
        if found == FORMAT:
            tensors = load_safetensors(content)
    # The library has a KeyError for dtypes that NumPy lacks, as bfloat16.
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TensorFileError(f"is damaged or no safetensors file ({one_line(str(error))})") from error
    if found != FORMAT:
        if found.startswith("softgrad-checkpoint-"):
            raise TensorFileError(f"is of another version of softgrad ({one_line(found)}, not {FORMAT}); train anew")
        raise TensorFileError("is no softgrad checkpoint; give one that `softgrad train` wrote")
    if strings.pop("sha256", None) != _digest(tensors, {"format": found, **strings}):
        raise TensorFileError(
            "is damaged: its contents have not the digest they should; take an earlier one, or train anew"
        )
    try:
        return tensors, {name: strict_json.loads(text) for name, text in strings.items()}
    except ValueError as error:
        raise TensorFileError(f"has a damaged description ({one_line(str(error))})") from error


def _metadata(content: bytes) -> dict[str, str]:
    """The strings in the header of a safetensors file, of which the library tells nothing but of a file on disk."""
    end = SIZE_BYTES + int.from_bytes(content[:SIZE_BYTES], "little")
    if not SIZE_BYTES < end <= len(content):
        raise ValueError("its header is cut off")
    header = strict_json.loads(content[SIZE_BYTES:end])
    strings = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(strings, dict) or not all(isinstance(text, str) for text in strings.values()):
        raise ValueError("its header is none")
    return strings


def _digest(tensors: Mapping[str, np.ndarray], strings: Mapping[str, str]) -> str:
    digest = hashlib.sha256(strict_json.dumps(sorted(strings.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()

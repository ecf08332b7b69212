"""Where the GPU backend cannot run, the message says what is missing and what to install."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from softgrad import kernels
from softgrad.ops import gpu


def cupy_built_for(version: int, *, available: bool) -> Any:
    runtime = SimpleNamespace(runtimeGetVersion=lambda: version)
    return SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: available, runtime=runtime))


@pytest.mark.parametrize(
    ("cupy", "driver", "missing", "remedy"),
    [
        (None, None, "no NVIDIA driver is found, nor CuPy", "it needs an NVIDIA GPU with its driver"),
        (None, 13000, "CuPy cannot be imported", "pip install 'softgrad[cuda13]'"),
        (None, 12040, "CuPy cannot be imported", "pip install 'softgrad[cuda12]'"),
        (None, 14010, "CuPy cannot be imported", "pip install 'softgrad[cuda13]'"),
        (cupy_built_for(13000, available=False), None, "no NVIDIA driver is found", "install the driver"),
        (
            cupy_built_for(13000, available=False),
            12040,
            "CuPy is built for CUDA 13 and the driver knows CUDA 12 at most",
            "update the driver, or pip uninstall cupy-cuda13x and pip install 'softgrad[cuda12]'",
        ),
        (cupy_built_for(12090, available=False), 13000, "the NVIDIA driver finds no GPU", "nvidia-smi"),
        (cupy_built_for(12090, available=True), 13000, "(no numba_cuda)", "pip install 'softgrad[cuda12]'"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, cupy: Any, driver: int | None, missing: str, remedy: str
) -> None:
    def load(name: str) -> Any:
        if cupy is not None:
            return cupy
        raise ImportError(f"no {name}")

    def find_spec(name: str, *_: object) -> None:
        if name == "softgrad.kernels.cuda":
            raise ImportError("no numba_cuda")

    monkeypatch.setattr(gpu, "importlib", SimpleNamespace(import_module=load))
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    monkeypatch.delattr(kernels, "cuda", raising=False)
    monkeypatch.delitem(sys.modules, "softgrad.kernels.cuda", raising=False)
    monkeypatch.setattr(gpu, "driver_version", lambda: driver)
    with pytest.raises(gpu.BackendUnavailableError, match=r"^the GPU backend cannot run: .+ cpu backend$") as caught:
        gpu.load_gpu()
    assert missing in str(caught.value)
    assert remedy in str(caught.value)


def test_what_is_there_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy, cuda = cupy_built_for(13000, available=True), SimpleNamespace()
    monkeypatch.setattr(gpu, "importlib", SimpleNamespace(import_module={"cupy": cupy}.__getitem__))
    monkeypatch.setattr(kernels, "cuda", cuda, raising=False)
    assert gpu.load_gpu() == (cupy, cuda)


def test_the_driver_s_version_is_a_number_where_there_is_one() -> None:
    version = gpu.driver_version()
    assert version is None or version >= 11000

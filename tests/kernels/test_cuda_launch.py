"""The way of a kernel to the GPU, as far as it goes without one: compiled, linked, kept on disk, handed to CuPy."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import gpu_compiler_or_skip

from softgrad.kernels import cache
from softgrad.kernels.cuda import held, launch, wide, wide_cross_entropy
from softgrad.kernels.cuda.cross_entropy import softmax_cross_entropy_with_grad
from softgrad.kernels.cuda.elementwise import elementwise_kernel
from softgrad.kernels.formulas.activations import leaky_relu
from softgrad.kernels.formulas.cross_entropy import CrossEntropyOptions

gpu_compiler_or_skip()


class Array:
    """An array of the GPU as `launch` sees it."""

    dtype = np.dtype(np.float32)

    def __init__(self, device: int = 0) -> None:
        self.data = SimpleNamespace(ptr=512, device_id=device)


class FakeCuPy:
    """Stands for CuPy on a machine with two GPUs, the first of them current: notes what is loaded and launched."""

    def __init__(self) -> None:
        self.loaded: list[bytes] = []
        self.launches: list[tuple[Any, ...]] = []
        cupy = self

        class Module:
            def load(self, cubin: bytes) -> None:
                cupy.loaded.append(cubin)

            def get_function(self, name: str) -> Any:
                assert name.encode() in cupy.loaded[-1]
                return lambda grid, block, arguments, _: cupy.launches.append((grid, block, arguments))

        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 2),
            Device=lambda: SimpleNamespace(compute_capability="90"),
            function=SimpleNamespace(Module=Module),
        )


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCuPy:
    cupy = FakeCuPy()
    monkeypatch.setattr(launch, "_cupy", lambda: cupy)
    monkeypatch.setattr(launch, "device_count", cupy.cuda.runtime.getDeviceCount)
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    return cupy


def leaky_relu_kernel() -> launch.Kernel:
    kernel = elementwise_kernel.__wrapped__(leaky_relu, 1, 1, 4, "f")
    assert isinstance(kernel, launch.Kernel)
    return kernel


NUMBERS = np.int64(1000), (np.float32(0.01),)


def test_a_kernel_is_compiled_once_and_launched_with_its_arguments(cupy: FakeCuPy) -> None:
    kernel, x, out = leaky_relu_kernel(), Array(), Array()
    for _ in range(2):
        kernel.launch(4, (32, 8), (x,), (out,), *NUMBERS)
    assert len(cupy.loaded) == 1
    assert cupy.loaded[0].startswith(b"\x7fELF")
    assert cupy.launches == [((4, 1, 1), (32, 8, 1), (x, out, NUMBERS[0], *NUMBERS[1]))] * 2


def test_machine_code_is_kept_on_disk(cupy: FakeCuPy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    lowered = launch.Kernel.lowered
    monkeypatch.setattr(launch.Kernel, "lowered", lambda *arguments: compiled.append(1) or lowered(*arguments))
    for _ in range(2):
        leaky_relu_kernel().launch(4, 256, (Array(),), (Array(),), *NUMBERS)
    assert len(compiled) == 1
    assert cupy.loaded[0] == cupy.loaded[1]

    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])  # damaged: compiled anew
    leaky_relu_kernel().launch(4, 256, (Array(),), (Array(),), *NUMBERS)
    assert len(compiled) == 2

    for times, payload in enumerate((b"", b"no JSON\n", b'"another_kernel"\n' + cupy.loaded[0]), 3):
        cache.write_entry(file, payload)  # whole, and yet it cannot be loaded
        leaky_relu_kernel().launch(4, 256, (Array(),), (Array(),), *NUMBERS)
        assert len(compiled) == times
        # Numba numbers the functions that it compiles, and the number is a part of the kernel's name.
        assert b"\n\x7fELF" in cache.load_entry(file, lambda payload: payload)


def test_each_architecture_has_machine_code_of_its_own(cupy: FakeCuPy, tmp_path: Path) -> None:
    for capability in ("80", "90"):
        cupy.cuda.Device = lambda capability=capability: SimpleNamespace(compute_capability=capability)
        leaky_relu_kernel().launch(4, 256, (Array(),), (Array(),), *NUMBERS)
    assert cupy.loaded[0] != cupy.loaded[1]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_array_on_another_device_is_refused(cupy: FakeCuPy) -> None:
    with pytest.raises(ValueError, match="arrays must be on the current device, 0; got one on device 1; call within"):
        leaky_relu_kernel().launch(4, 256, (Array(),), (Array(device=1),), *NUMBERS)
    assert not cupy.launches


class Matrix(Array):
    """An array with a shape, of which nothing is read."""

    def __init__(self, *shape: int, dtype: Any = np.float32, device: int = 0) -> None:
        super().__init__(device)
        self.shape, self.dtype, self.size, self.ndim = shape, np.dtype(dtype), math.prod(shape), len(shape)


@pytest.mark.parametrize("options", [None, CrossEntropyOptions(label_smoothing=0.1)])
def test_nothing_is_written_before_a_launch_of_several_is_refused(
    cupy: FakeCuPy, monkeypatch: pytest.MonkeyPatch, options: CrossEntropyOptions | None
) -> None:
    monkeypatch.setattr(held, "shared_bytes", lambda: 0)
    for module in (wide, wide_cross_entropy):
        monkeypatch.setattr(module, "empty", lambda shape, dtype: Matrix(*shape, dtype=dtype))
    logits, labels, losses = Matrix(2, 40_000), Matrix(2, dtype=np.int64), Matrix(2)
    for grad, aim in ((Matrix(2, 40_000, device=1), labels), (Matrix(2, 40_000), Matrix(2, dtype=np.int64, device=1))):
        with pytest.raises(ValueError, match="got one on device 1"):
            softmax_cross_entropy_with_grad(logits, aim, options, 2, 1.0, losses, grad)
    assert cupy.launches or options is not None
    assert not any(losses is one or grad is one for _, _, arguments in cupy.launches for one in arguments)


def test_products_and_sums_are_not_contracted() -> None:
    def kernel(x: Any, out: Any) -> None:
        out[0] = x[0] * x[1] + x[2]

    signature = launch.signature_of((Array(), Array()))
    _, ptx = launch.ptx_of(launch.Kernel(kernel).lowered(signature, (9, 0)), (9, 0))
    assert "mul.rn.f32" in ptx
    assert "fma.rn.f32" not in ptx

"""What this machine and installation are, as far as that changes results or speed; for `doctor` and benchmarks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

import llvmlite.binding
import numba
import threadpoolctl

import softgrad
from softgrad.kernels.cache import cache_folder, describe_cache
from softgrad.kernels.cpu.threads import threading_layer
from softgrad.ops.backend import get_backend
from softgrad.ops.gpu import BackendUnavailableError

# OpenBLAS's names of processors whose matrix kernels know no AVX-512.
BEFORE_AVX512 = {"prescott", "core2", "nehalem", "barcelona", "sandybridge", "bulldozer", "haswell", "zen"}


@dataclass(frozen=True)
class Environment:
    """The facts, in words; `warnings` are those that hold the machine back, each with its remedy."""

    softgrad: str
    python: str
    packages: dict[str, str]
    system: str
    cpu: str
    simd_bits: int
    threads: int
    threading_layer: str
    blas: str
    blas_threads: int
    openblas_coretype: str
    gpu: str
    kernel_cache: str
    warnings: tuple[str, ...]

    @classmethod
    def here(cls) -> Environment:
        """Look at this process's environment."""
        blas, blas_core, blas_threads = _blas()
        simd_bits = _simd_bits()
        coretype = os.environ.get("OPENBLAS_CORETYPE", "")
        layer = threading_layer()
        warnings = []
        if coretype and simd_bits == 512 and blas_core.lower() in BEFORE_AVX512:
            warnings.append(
                f"OPENBLAS_CORETYPE={coretype} keeps NumPy's matrix products from AVX-512, which this processor has, "
                "and halves their speed; unset it"
            )
        if layer == "workqueue":
            warnings.append("Numba's workqueue threads are slow to start; install tbb (pip install tbb)")
        if cache_folder() is None:
            warnings.append(
                "compiled kernels are not kept, so each process compiles them anew; set NUMBA_CACHE_DIR to a folder "
                "that you, and no other user, can write to"
            )
        return cls(
            softgrad=softgrad.__version__,
            python=platform.python_version(),
            packages={name: _version(name) for name in ("numpy", "numba", "llvmlite", "tbb", "safetensors")},
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            cpu=f"{_cpu_name()}, {os.cpu_count()} cores",
            simd_bits=simd_bits,
            threads=numba.get_num_threads(),
            threading_layer=layer,
            blas=blas,
            blas_threads=blas_threads,
            openblas_coretype=coretype or "not set",
            gpu=_gpu(),
            kernel_cache=describe_cache(),
            warnings=tuple(warnings),
        )

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON's types."""
        return asdict(self)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown processor"


def _simd_bits() -> int:
    """The width of the widest vector registers LLVM knows of here."""
    features = llvmlite.binding.get_host_cpu_features()
    return 512 if features.get("avx512f") else 256 if features.get("avx2") else 128


def _blas() -> tuple[str, str, int]:
    """NumPy's BLAS in words, the processor its kernels are for, and its threads."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        return "unknown", "", 1
    pool = next((pool for pool in pools if "numpy" in pool["filepath"]), pools[0])
    core = pool.get("architecture") or "unknown"
    return f"{pool['internal_api']} {pool['version']}, kernels for {core}", core, pool["num_threads"]


def _gpu() -> str:
    try:
        backend = get_backend("gpu")
    except BackendUnavailableError as error:
        return f"not usable: {error}"
    properties = backend.xp.cuda.runtime.getDeviceProperties(backend.xp.cuda.Device().id)
    return str(properties["name"].decode())

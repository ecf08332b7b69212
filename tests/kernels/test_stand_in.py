"""The stand-in for CuPy is as strict as CuPy: what no GPU would take, it does not either."""

from __future__ import annotations

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import EXECUTED, STAND_IN

if not STAND_IN:
    pytest.skip("it needs SOFTGRAD_PTX or NUMBA_ENABLE_CUDASIM", allow_module_level=True)

import cupy

pytestmark = pytest.mark.gpu

executed = pytest.mark.skipif(not EXECUTED, reason="it needs SOFTGRAD_PTX")


@pytest.fixture
def x() -> Any:
    return cupy.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)


@pytest.mark.parametrize(
    "refused",
    [
        np.asarray,
        np.array,
        lambda x: np.zeros((2, 3)) + x,
        lambda x: x + np.zeros((2, 3)),
        lambda x: np.add(x, np.zeros((2, 3))),
        lambda x: cupy.maximum(x, np.zeros((2, 3))),
        lambda x: np.add(x, x, out=np.zeros((2, 3))),
        lambda x: cupy.concatenate([x, np.zeros((2, 3))]),
        lambda x: x.__setitem__(..., np.zeros((2, 3))),
        lambda x: np.cumprod(x),  # CuPy has it, but nothing has asked for it
    ],
)
def test_its_arrays_do_not_become_numpy_s_nor_mix_with_them(x: Any, refused: Any) -> None:
    with pytest.raises(TypeError):
        refused(x)


@pytest.mark.parametrize("name", ["ctypeslib", "rec", "nditer", "setbufsize", "matrix", "busday_count"])
def test_names_that_cupy_lacks_are_not_there(name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(cupy, name)


@pytest.mark.parametrize("name", ["ctypes", "__array_interface__", "itemset", "byteswap", "setflags", "newbyteorder"])
def test_nor_are_attributes_of_arrays(x: Any, name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(x, name)
    assert not hasattr(x.flags, "writeable")


@pytest.mark.parametrize("value", ["text", object(), [[1], [2, 3]], np.array(["a"])])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        cupy.array(value)


def test_reductions_and_elements_are_arrays_without_axes(x: Any) -> None:
    for result in (x.sum(), x[0, 1], x.max(), cupy.sum(x), x.reshape(-1)[2]):
        assert type(result) is cupy.ndarray
        assert result.shape == ()
    assert float(x.sum()) == 21.0
    assert x.tolist() == x.get().tolist()
    assert f"{x[0, 1]:.1f} {x[0, 1]}" == "2.0 2.0"


def test_views_share_memory_and_copies_do_not(x: Any) -> None:
    for view in (x[0], x.T, x.reshape(3, 2), x[:, 1:], x.ravel(), cupy.expand_dims(x, 0), x[1, 2]):
        assert view.base is not None
        assert cupy.shares_memory(x, view)
        assert np.may_share_memory(x, view)
    for other in (
        x.copy(),
        x + 0,
        cupy.array(x),
        x.astype(np.float64),
        copy.deepcopy(x),
        pickle.loads(pickle.dumps(x)),
    ):
        assert other.base is None
        assert not cupy.shares_memory(x, other)
    x[1, 2] = 60.0
    x[0] += 1
    np.testing.assert_array_equal(x.get(), [[2, 3, 4], [4, 5, 60]])
    assert cupy.asarray(x) is cupy.ascontiguousarray(x) is x


def test_an_array_says_where_it_lies(x: Any) -> None:
    interface = x.__cuda_array_interface__
    assert x.data.ptr == interface["data"][0]
    assert x.data.ptr % 256 == 0
    assert x[0, 1:].data.ptr == x.data.ptr + 4
    assert interface["strides"] is None
    assert x.T.__cuda_array_interface__["strides"] == (4, 12)
    assert (x.data.device_id, x.device.id, x.__dlpack_device__()) == (0, 0, (2, 0))
    assert x.flags.c_contiguous
    assert x.T.flags["F_CONTIGUOUS"]


def test_there_is_one_device_and_its_stream() -> None:
    assert (cupy.cuda.runtime.getDeviceCount(), cupy.cuda.runtime.getDevice()) == (1, 0)
    assert cupy.cuda.get_current_stream().ptr == 0


def test_memory_is_given_back() -> None:
    gc.collect()
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    arrays = [cupy.empty(1 << 20, np.uint8) for _ in range(3)]
    views = [array[5:] for array in arrays]
    del arrays
    assert pool.used_bytes() == before + (3 << 20)
    del views
    assert pool.used_bytes() == before


# ---- kernels

COPY = """.version 9.0
.target {target}
.address_size 64
.extern .shared .align 16 .b8 tile[];
.visible .entry copy(.param .u64 x, .param .u64 out, .param .u32 size)
{{
    .reg .b64 %d<3>;
    .reg .b32 %r<3>;
    ld.param.u64 %d0, [x];
    ld.param.u64 %d1, [out];
    ld.param.u32 %r0, [size];
    ld.global.u32 %r1, [%d0];
    mov.u64 %d2, tile;
    st.shared.u32 [%d2], %r1;
    st.global.u32 [%d1], %r1;
    ret;
}}
"""


@pytest.fixture
def function() -> Any:
    module = cupy.cuda.function.Module()
    module.load(COPY.format(target=cupy.cuda.ARCHITECTURE).encode())
    return module.get_function("copy")


SIZES = (1, 1, 1), (1, 1, 1)


@executed
def test_a_kernel_is_launched(x: Any, function: Any) -> None:
    out = cupy.empty(1, np.float32)
    function(*SIZES, (x, out, np.int32(1)), shared_mem=16)
    assert float(out[0]) == 1.0


@executed
def test_what_launches_cost_is_measured(x: Any, function: Any) -> None:
    from ptx import totals

    before = totals.TOTALS.slots
    with totals.measured() as launches:
        for _ in range(2):
            function(*SIZES, (x, cupy.empty(1, np.float32), np.int32(1)), shared_mem=16)
    assert [one.counts.load_bytes for one in launches] == [4, 4]
    assert launches[0].executions.tolist() == [1] * 8
    assert totals.TOTALS.slots == before + 16
    assert "copy" in {name for _, name in totals.TOTALS.kernels}


@executed
def test_totals_of_several_processes_are_added(tmp_path: Path) -> None:
    from ptx.totals import Totals

    one = Totals(slots=5)
    one.add((90, "k"), 2, np.array([True, False, False]))
    one.write(tmp_path)
    both = Totals(slots=7)
    both.add((90, "k"), 1, np.array([True, True, False]))
    both.add((80, "k"), 1, np.array([False]))
    both.read(tmp_path)
    assert str(both) == (
        "4 launches of 2 kernels x dtypes x architectures (sm_80, sm_90); 12 warp instructions; "
        "2 of 4 PTX instructions executed, 50.0 %"
    )


@executed
def test_memory_that_is_freed_or_was_never_written_is_not_read(x: Any, function: Any) -> None:
    out = cupy.empty(1, np.float32)
    with pytest.raises(RuntimeError, match=r"a load of memory that nothing was written to, .* ld\.global\.u32"):
        function(*SIZES, (cupy.empty(4, np.float32), out, np.int32(1)), shared_mem=16)
    freed = cupy.array([1.0, 2.0], np.float32)
    address = np.int64(freed.data.ptr)
    function(*SIZES, (address, out, np.int32(1)), shared_mem=16)
    del freed
    gc.collect()
    with pytest.raises(RuntimeError, match="in no array: past its end, or freed"):
        function(*SIZES, (address, out, np.int32(1)), shared_mem=16)


@executed
def test_more_than_48_kib_of_shared_memory_are_asked_for_first(x: Any, function: Any) -> None:
    driver, arguments = cupy.cuda.driver, (x, cupy.empty(1, np.float32), np.int32(1))
    most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    attribute = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    function(*SIZES, arguments, shared_mem=48 << 10)
    with pytest.raises(RuntimeError, match="bytes of shared memory; 49152 are allowed"):
        function(*SIZES, arguments, shared_mem=(48 << 10) + 16)
    with pytest.raises(RuntimeError, match="shared memory has"):
        driver.funcSetAttribute(function.ptr, attribute, most + 1)
    driver.funcSetAttribute(function.ptr, attribute, most)
    function(*SIZES, arguments, shared_mem=most)


@executed
def test_a_kernel_of_another_architecture_or_name_is_not_found() -> None:
    module = cupy.cuda.function.Module()
    with pytest.raises(RuntimeError, match="a kernel for sm_75 on"):
        module.load(COPY.format(target="sm_75").encode())
    module.load(COPY.format(target=cupy.cuda.ARCHITECTURE).encode())
    with pytest.raises(RuntimeError, match="NOT_FOUND: paste"):
        module.get_function("paste")

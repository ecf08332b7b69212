# Everything a contributor does. The environment is made on first use, in .venv; PYTHON chooses its interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILER := $(VENV)/.compiler
PEERS := $(VENV)/.peers
GPU_PYTHON ?= $(BIN)/python
# Python compiles what it imports; compiling all that is installed takes longer than unpacking it.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --editable
# What measures exactness, or tries to break things, shares the tests' references.
MEASURE := PYTHONPATH=tests/support $(BIN)/python
# A file's tests run in one process, so that two do not compile the same kernels; the files that take longest come first.
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder
# Of each fuzzer so many calls, files or runs; FUZZ has more options for it, as in: make fuzz-cli FUZZ="--calls 9 --seed 7".
FUZZ ?=

.PHONY: help train test test-all test-simd test-peers test-gpu-simulated test-gpu-compiled test-gpu-executed gpu-counts host-time gpu-check lint types stubs docs format wheel bench bench-train examples coefficients ulp fuzz fuzz-ops fuzz-files fuzz-cli kill-runs digits clean

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 20

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "softgrad needs Python 3.11 or newer; choose one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(INSTALL) '.[dev]'
	@touch $@

train: $(INSTALLED)  ## Install, and train a network: on MNIST if it can be had, else on the embedded digits.
	$(BIN)/softgrad train

test: $(INSTALLED)  ## Install, and run the tests but the slow ones.
	$(PYTEST) -m "not slow"

test-all: test  ## All tests; the slow ones are other dtypes, threads, sweeps, processes that are killed.
	$(PYTEST) -m slow

test-simd: $(INSTALLED)  ## The tests of exactness as on a machine with AVX2 only, and on the oldest x86-64.
	for cpu in haswell x86-64; do \
		NUMBA_CPU_NAME=$$cpu NUMBA_CPU_FEATURES= $(PYTEST) -k "exact or bits or in_place" \
			tests/kernels/test_math.py tests/ops/test_softmax.py tests/ops/test_cross_entropy.py tests/kernels/test_streaming.py || exit 1; \
	done

$(PEERS): $(INSTALLED)
	$(INSTALL) '.[peers]'
	@touch $@

test-peers: $(PEERS)  ## The same results as SciPy's and PyTorch's, on generated cases.
	$(PYTEST) tests/*/test_*_like_*.py tests/ops/test_interchange.py

# What the simulator adds to the PTX that is executed: Python's own errors, barriers by name, no need of a compiler.
test-gpu-simulated: $(INSTALLED)  ## A part of the tests of the GPU backend in Numba's CUDA simulator, threads in two orders.
	for order in forward reverse; do \
		NUMBA_ENABLE_CUDASIM=1 SOFTGRAD_SIMULATED_ORDER=$$order $(BIN)/python -m pytest --numprocesses=auto -m gpu \
			tests/test_gpu.py tests/kernels/test_simulator.py tests/kernels/test_stand_in.py || exit 1; \
	done

$(COMPILER): $(INSTALLED)
	$(INSTALL) '.[compile]'
	@touch $@

test-gpu-compiled: $(COMPILER)  ## Compile the GPU kernels for three architectures, and look at the machine code. ALL=1: float64, too.
	$(BIN)/python -m pytest --numprocesses=auto -rP -m "$(if $(ALL),,not slow)" \
		tests/kernels/test_cuda_compile.py tests/kernels/test_cuda_launch.py tests/kernels/test_gpu_formulas.py

# An architecture and an order of warps (forward, backward, and at random from a seed) for each part of the tests, or with
# ALL=1 for all of them. Counts are of sm_90.
test-gpu-executed: $(COMPILER)  ## The tests of the GPU backend over the kernels' PTX, executed on the processor. ALL=1: slow ones, too.
	rm -rf build/executed
	execute() { export SOFTGRAD_PTX=$$1 SOFTGRAD_PTX_ORDER=$$2 SOFTGRAD_PTX_TOTALS=build/executed; shift 2; \
		$(BIN)/python -m pytest --numprocesses=auto -m "gpu$(if $(ALL),, and not slow)" $(if $(ALL),tests,$$@) || exit 1; }; \
	execute sm_90 forward tests/kernels tests/ops/test_[a-e]*.py; \
	execute sm_80 reverse tests/ops/test_[f-l]*.py tests/bench tests/train tests/test_*.py; \
	execute sm_100 1 tests/ops/test_[m-z]*.py
	PYTHONPATH=tests/support $(BIN)/python -m ptx.totals build/executed

gpu-counts: $(COMPILER)  ## What every operation costs on a GPU, by executing its kernels' PTX: bench/results/gpu-counts.md.
	$(MEASURE) tools/gpu_counts.py bench/results/gpu-counts.md

host-time: $(COMPILER)  ## What a call over CuPy arrays takes on the host, and what it asks of the GPU; needs none.
	$(BIN)/python tools/host_time.py

# A GPU lent for minutes is enough: some hundred kernels are compiled by all processors, a second each, while the tests run,
# two to four minutes on sixteen; then so many seconds are measured, the most telling operations first, and ten epochs.
gpu-check:  ## On a GPU: its tests but the slow ones, then a benchmark. GPU_PYTHON=... has softgrad[cuda13,test], or cuda12.
	$(GPU_PYTHON) -m pytest -rf --durations=10 --numprocesses=auto --maxprocesses=8 -m "gpu and not slow" tests
	$(GPU_PYTHON) -m softgrad.bench.gpu bench/results --seconds 180

lint: $(INSTALLED)  ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## Check types. The link gives mypy a folder with the package's name, which the root has not.
	@mkdir -p build/typing && ln -sfn ../.. build/typing/softgrad
	MYPYPATH=build/typing $(BIN)/mypy -p softgrad.bench -p softgrad.kernels -p softgrad.ops -p softgrad.train \
		-m softgrad -m softgrad.cli -m softgrad.failures -m softgrad.formulas -m softgrad.terminal

stubs: $(INSTALLED)  ## Write ops/__init__.pyi, the public functions' types, from their signatures.
	$(BIN)/python tools/make_stubs.py

docs: $(INSTALLED)  ## The public functions' pages, build/docs/softgrad/ops.html, ops/autodiff.html and formulas.html.
	$(BIN)/python -m pdoc --docformat numpy --no-show-source --output-directory build/docs softgrad.ops '!softgrad[.]ops[.]' \
		softgrad.ops.autodiff '!softgrad[.]ops[.]autodiff[.]' softgrad.formulas

format: $(INSTALLED)  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(INSTALLED)  ## Build the wheel and the source archive, into dist/.
	rm -rf dist
	$(BIN)/python -m build --quiet

bench: $(INSTALLED)  ## Every operation beside torch, jax, scipy and numpy: those that `pip install .[bench]` put there.
	$(BIN)/softgrad bench ops

bench-train: $(INSTALLED)  ## An epoch of training beside PyTorch, of MNIST where SOFTGRAD_DATA has it.
	$(BIN)/softgrad bench train

examples: $(INSTALLED)  ## Run every example: numbers on the screen, pictures in build/examples.
	for example in $$(grep -l __main__ examples/*.py); do \
		echo "== $$example"; $(BIN)/python $$example || exit 1; \
	done

coefficients: $(INSTALLED)  ## Check kernels/simd/coefficients.py against its fits.
	$(BIN)/python tools/fit_polynomials.py --check

ulp: $(INSTALLED)  ## Errors in ULP of functions and ops, beside NumPy's; without --every the tools sweep every float32.
	$(MEASURE) tests/accuracy/sweep_ulp.py --every 4099
	$(MEASURE) tests/accuracy/sweep_ops.py --every 4099 --samples 500

fuzz: fuzz-ops fuzz-files fuzz-cli kill-runs  ## Hostile calls, files and command lines, and runs that are killed: a few minutes of each.

fuzz-ops: $(INSTALLED)
	$(MEASURE) tests/accuracy/fuzz_ops.py --calls 20000 $(FUZZ)

fuzz-files: $(INSTALLED)
	$(MEASURE) tests/accuracy/fuzz_files.py --files 5000 $(FUZZ)

fuzz-cli: $(INSTALLED)
	$(MEASURE) tests/accuracy/fuzz_cli.py --calls 1000 $(FUZZ)

kill-runs: $(INSTALLED)
	$(MEASURE) tests/accuracy/kill_runs.py --runs 20 $(FUZZ)

digits: $(INSTALLED)  ## Check the embedded digits against their source, scikit-learn's copy.
	$(BIN)/python tools/make_digits.py --check

clean:  ## Remove what was built and installed here; runs/ stays.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

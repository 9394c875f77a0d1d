"""What every test stands on: threads, seeds, clean global state, and the arrays for parity."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import shutil
import sys
import tempfile

import pytest

from tests import parity_record

# To collect the tests makes a million objects that all stay. With its usual thresholds Python would
# look at them again and again, for a quarter of the time.
gc.set_threshold(50_000, 20, 20)

BACKEND = os.environ.get("KERAS_BACKEND", "")
SEED = 1234


def _prepare_environment() -> None:
    """Everything the backends read once, when they are imported."""
    # Tests are tiny: more threads cost more than they bring, and pytest-xdist uses the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")
    if BACKEND != "jax":
        return
    # Two devices on one CPU, for the tests under keras.distribution.DataParallel; and code that is
    # compiled for a few numbers and run once need not be optimized: the plain emitters, without a
    # split over threads, compile a small program in less than half of the time.
    flags = os.environ.get("XLA_FLAGS", "")
    for name, value in (
        ("xla_force_host_platform_device_count", 2),
        ("xla_backend_optimization_level", 0),
        ("xla_cpu_use_fusion_emitters", "false"),
        ("xla_cpu_parallel_codegen_split_count", 1),
    ):
        if name not in flags:
            flags = f"{flags} --{name}={value}".strip()
    os.environ["XLA_FLAGS"] = flags
    # Many tests compile the same small train step. The cache lives as long as the session, so it
    # never meets another machine or another version; xdist workers inherit it.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        directory = tempfile.mkdtemp(prefix="keras-reweight-compilation-cache-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = directory
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


_prepare_environment()

import keras  # noqa: E402

from tests import built_optimizers, global_state, kept_kernels, plain_datasets  # noqa: E402

if keras.backend.backend() == "torch":
    import torch

    torch.set_num_threads(1)
if keras.backend.backend() == "tensorflow":
    import tensorflow

    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    # Graphs of tests run once or twice, which is no time to make them better.
    tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    built_optimizers.install()
    kept_kernels.install()
    plain_datasets.install()
if keras.backend.backend() == "jax":
    from jax._src.interpreters import mlir

    # One for all programs: to make it takes longer than the rest of lowering a small one.
    mlir.make_ir_context = functools.lru_cache(maxsize=1)(mlir.make_ir_context)


def pytest_report_header() -> str:
    return f"keras {keras.__version__}, backend {keras.backend.backend()}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    worker = getattr(session.config, "workerinput", {}).get("workerid", "main")
    parity_record.write(worker)


@pytest.fixture(autouse=True)
def clean_global_state():
    """Same seeds and layer names for every test; a changed setting is put back and reported."""
    with global_state.guarded():
        keras.utils.set_random_seed(SEED)
        yield
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")


def _collect_garbage() -> None:
    """Free what nobody needs; what is left (modules, caches) stays, and is not looked at again."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    _collect_garbage()


@pytest.fixture(autouse=True, scope="module")
def collect_garbage():
    """Free the models of a module; after every test it would cost more than it frees."""
    yield
    _collect_garbage()

"""The runner over all backends: order, exit codes and summary lines."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests import parity_record, run_backends

SHOW_ENVIRONMENT = (
    "import os; print(os.environ['KERAS_BACKEND'], os.environ['OMP_NUM_THREADS']); "
    "print('===== 3 passed in 0.12s =====')"
)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("..\n===== 12 passed in 3.45s =====\n", "12 passed in 3.45s"),
        ("=== 1 failed, 2 passed, 1 warning in 63.10s (0:01:03) ===", None),
        ("12 passed in 3.45s", "12 passed in 3.45s"),
        ("\x1b[32m== \x1b[1m2 passed\x1b[0m in 0.10s ==\x1b[0m\n", "2 passed in 0.10s"),
        ("no tests ran in 0.01s", "no tests ran in 0.01s"),
        ("Fatal error\nSegmentation fault", "pytest printed no closing line"),
    ],
)
def test_closing_line(output, expected):
    expected = expected or "1 failed, 2 passed, 1 warning in 63.10s (0:01:03)"
    assert run_backends.closing_line(output) == expected


def test_one_run_gets_its_backend_and_its_output_comes_through(tmp_path, capfdbinary):
    stale = tmp_path / "torch.npz.gw0.npz"
    np.savez(stale, a=np.ones(1))
    outcome = run_backends.run_backend(
        "torch", [sys.executable, "-c", SHOW_ENVIRONMENT], tmp_path / "torch.npz"
    )
    assert outcome.exit_code == 0
    assert str(outcome).startswith("[torch] ok: 3 passed in 0.12s, ")
    assert b"\ntorch 1\n" in capfdbinary.readouterr().out
    assert not stale.exists()


def test_exit_code_of_a_failing_run(tmp_path):
    command = [sys.executable, "-c", "import sys; print('no tests ran in 0.01s'); sys.exit(5)"]
    outcome = run_backends.run_backend("jax", command, tmp_path / "jax.npz")
    assert str(outcome).startswith("[jax] FAILED (exit code 5): no tests ran in 0.01s")


def run_main(monkeypatch, tmp_path, exit_codes, values=(), selection=("--", "-k", "some")):
    """`main` over planted outcomes; returns the exit code and the backends that ran."""
    ran = []

    def run_backend(backend, command, record_to):
        assert command[1:3] == ["-m", "pytest"] and command[-2:] == list(selection[1:])[-2:]
        ran.append(backend)
        if values:
            np.savez(record_to.with_name(f"{record_to.name}.gw0.npz"), a=values[len(ran) - 1])
        return run_backends.Outcome(backend, exit_codes[len(ran) - 1], "planted")

    monkeypatch.setattr(run_backends, "run_backend", run_backend)
    monkeypatch.setattr(run_backends, "PARITY_DIRECTORY", tmp_path)
    return run_backends.main(list(selection)), ran


def test_all_backends_run_after_a_failure_and_the_run_fails(monkeypatch, tmp_path, capsys):
    code, ran = run_main(monkeypatch, tmp_path, (1, 0, 0))
    assert code == 1
    assert ran == ["jax", "tensorflow", "torch"]
    summary = capsys.readouterr().out.splitlines()[-4:]
    assert summary[0] == "[jax] FAILED (exit code 1): planted"
    assert summary[1:3] == ["[tensorflow] ok: planted", "[torch] ok: planted"]
    assert summary[3].startswith("[parity] ok")


def test_backends_that_agree_pass(monkeypatch, tmp_path):
    code, _ = run_main(monkeypatch, tmp_path, (0, 0, 0), (1.0, 1.0, 1.0))
    assert code == 0


def test_backends_that_disagree_fail_the_run(monkeypatch, tmp_path, capsys):
    code, _ = run_main(monkeypatch, tmp_path, (0, 0, 0), (1.0, 1.0, 2.0))
    assert code == 1
    assert "[parity] FAILED" in capsys.readouterr().out


def test_a_whole_run_must_record_arrays(tmp_path):
    paths = [tmp_path / "jax.npz", tmp_path / "torch.npz"]
    assert run_backends.compare_backends(paths, selection=False).exit_code == 1
    assert run_backends.compare_backends(paths, selection=True).exit_code == 0
    assert run_backends.compare_backends(paths[:1], selection=False).exit_code == 0


def test_the_environment_names_the_record_file(tmp_path):
    values = run_backends.environment("jax", tmp_path / "jax.npz")
    assert values["KERAS_BACKEND"] == "jax"
    assert values[parity_record.ENVIRONMENT_VARIABLE] == str(tmp_path / "jax.npz")

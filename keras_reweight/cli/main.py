"""`keras-reweight sig inspect|apply|diff|verify`: signature and weight files without a program."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

#: Exit codes: as `diff` has them.
SAME, DIFFERENT, TROUBLE = 0, 1, 2

_FILES = "a signature, or weights as .weights.h5, .keras or .safetensors"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done, and for `diff --exit-code` the files agree. 1: they differ, or `verify` found a defect.
    2: the command cannot be carried out; what is wrong is on the standard error, and no file was
    written. Files are told apart by their contents. No command changes a file that it reads, unless
    that very file is named as the output of `apply` together with `--force`.

    Args:
        argv: List of strings, the arguments without the name of the program; `None` takes those of
            the process. Defaults to `None`.

    Returns:
        Integer, the exit code.

    Raises:
        SystemExit: For `--help`, and for arguments that are no command.

    Example:

    ```python
    import contextlib
    import io
    import os
    import tempfile

    import keras
    import numpy as np
    import keras_reweight as kr
    from keras_reweight.cli import main

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    patch = kr.Patch.from_deltas(model, [(model.layers[0].kernel, np.ones((2, 1)))], name="shift")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "shift.safetensors")
        patch.save(path)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main(["sig", "inspect", path]) == 0
    assert "shift" in printed.getvalue()
    ```

    Reference:
        None; plumbing.
    """
    options = _parser().parse_args(argv)
    try:
        code, text = options.command(options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"keras-reweight sig {options.action}: {_words(error)}\n")
        return TROUBLE
    stream = sys.stderr if options.action == "verify" and code else sys.stdout
    stream.write(f"{text}\n")
    return code


def _words(error):
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename!r}"
    return str(error)


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-reweight", description="Weight signatures of Keras models, file by file."
    )
    groups = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    actions = groups.add_parser(
        "sig", help="look at, apply, compare and check signature and weight files"
    ).add_subparsers(dest="action", required=True, metavar="ACTION")

    inspect = _add(actions, "inspect", _inspect, "show what a file holds, one line a weight")
    inspect.add_argument("file", metavar="FILE", help=_FILES)
    inspect.add_argument("--all", action="store_true", help="the state of the optimizer as well")

    apply = _add(actions, "apply", _apply, "add a signature to the weights in a file")
    apply.add_argument("signature", metavar="SIGNATURE", help="what to add")
    apply.add_argument("weights", metavar="WEIGHTS", help=".weights.h5, .keras or .safetensors")
    apply.add_argument("-o", "--output", metavar="FILE", required=True, help="file to write")
    apply.add_argument(
        "--alpha", type=float, default=1.0, help="strength, negative to take off (default: 1)"
    )
    apply.add_argument("--force", action="store_true", help="write over an existing file")

    diff = _add(actions, "diff", _diff, "compare two files of one kind, one line a weight")
    diff.add_argument("first", metavar="FIRST", help=_FILES)
    diff.add_argument("second", metavar="SECOND", help="the same kind of file")
    diff.add_argument("--exit-code", action="store_true", help="exit with 1 if they differ")

    verify = _add(actions, "verify", _verify, "check that a file is whole and its numbers finite")
    verify.add_argument("file", metavar="FILE", help=_FILES)
    verify.add_argument(
        "--model", metavar="WEIGHTS", help="for a signature: also that it fits these weights"
    )
    return parser


def _add(actions, name, command: Callable, text):
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(command=command)
    return parser


# Each command is imported when it is run: `--help` and mistakes answer at once.


def _inspect(options):
    from keras_reweight.cli._inspect import inspect_file

    return SAME, inspect_file(options.file, everything=options.all)


def _apply(options):
    from keras_reweight.cli._apply import apply_file

    text = apply_file(
        options.signature, options.weights, options.output, options.alpha, force=options.force
    )
    return SAME, text


def _diff(options):
    from keras_reweight.cli._diff import diff_files

    same, text = diff_files(options.first, options.second)
    return (SAME if same or not options.exit_code else DIFFERENT), text


def _verify(options):
    from keras_reweight.cli._verify import verify_file

    whole, text = verify_file(options.file, options.model)
    return (SAME if whole else DIFFERENT), text

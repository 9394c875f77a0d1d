"""The command line: `keras-reweight`."""

from keras_reweight.cli.main import main

__all__ = ["main"]

"""What changes a model while it trains."""

from keras_compress.pruning import KeepSparsity, MagnitudePruning, Pruning

__all__ = [
    "KeepSparsity",
    "MagnitudePruning",
    "Pruning",
]

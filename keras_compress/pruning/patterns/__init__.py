"""What goes together: the units in which weights are pruned."""

from keras_compress.pruning.patterns.block_pattern import BlockPattern
from keras_compress.pruning.patterns.nm_pattern import NMPattern
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.patterns.tied_gates import TiedGates

__all__ = ["BlockPattern", "NMPattern", "Pattern", "TiedGates"]

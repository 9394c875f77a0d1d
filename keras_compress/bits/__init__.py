"""Which layer needs how many bits."""

from keras_compress.bits.allocate_bits import allocate_bits
from keras_compress.bits.bit_plan import BitPlan
from keras_compress.bits.equal_loss_rates import equal_loss_rates
from keras_compress.bits.layer_importance import layer_importance
from keras_compress.bits.z_score_share import z_score_share

__all__ = ["BitPlan", "allocate_bits", "equal_loss_rates", "layer_importance", "z_score_share"]

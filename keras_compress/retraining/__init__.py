"""After pruning: retraining few weights, and refitting layers without labels."""

from keras_compress.retraining.add_mask_lora import add_mask_lora
from keras_compress.retraining.iterative_prune import iterative_prune
from keras_compress.retraining.mask_lora import MaskLoRA
from keras_compress.retraining.merge_lora import merge_lora
from keras_compress.retraining.perp_retrainable import perp_retrainable
from keras_compress.retraining.prune_reconstruct import prune_reconstruct
from keras_compress.retraining.pruning_round import PruningRound
from keras_compress.retraining.reconstruct import reconstruct
from keras_compress.retraining.reconstruction_report import ReconstructionReport
from keras_compress.retraining.retrainable_report import RetrainableReport
from keras_compress.retraining.temp_balance import TempBalance

__all__ = [
    "MaskLoRA",
    "PruningRound",
    "ReconstructionReport",
    "RetrainableReport",
    "TempBalance",
    "add_mask_lora",
    "iterative_prune",
    "merge_lora",
    "perp_retrainable",
    "prune_reconstruct",
    "reconstruct",
]

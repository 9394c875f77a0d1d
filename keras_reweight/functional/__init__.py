"""Pure functions of arrays or tensors: weights and selections for training loops of your own."""

from keras_reweight.functional.alignment_weights import alignment_weights
from keras_reweight.functional.class_weights import class_weights
from keras_reweight.functional.cs_divergence import cs_divergence
from keras_reweight.functional.cs_qmi import cs_qmi
from keras_reweight.functional.empirical_probability_targets import empirical_probability_targets
from keras_reweight.functional.f_divergence_weight import f_divergence_weight
from keras_reweight.functional.gairat_weights import gairat_weights
from keras_reweight.functional.gaussian_kl import gaussian_kl
from keras_reweight.functional.gaussian_overlap import gaussian_overlap
from keras_reweight.functional.gradient_variance_gap import gradient_variance_gap
from keras_reweight.functional.hard_patch_mask import hard_patch_mask
from keras_reweight.functional.hypervolume import hypervolume
from keras_reweight.functional.loss_statistics import loss_statistics
from keras_reweight.functional.max_variance_subset import max_variance_subset
from keras_reweight.functional.mix_domain_heads import mix_domain_heads
from keras_reweight.functional.monotone_quantiles import monotone_quantiles
from keras_reweight.functional.mse_optimal_mixing import mse_optimal_mixing
from keras_reweight.functional.optimal_distillation_weight import optimal_distillation_weight
from keras_reweight.functional.ordinal_probabilities import ordinal_probabilities
from keras_reweight.functional.pair_weights import pair_weights
from keras_reweight.functional.quantile_crossing_penalty import quantile_crossing_penalty
from keras_reweight.functional.recap_weights import recap_weights
from keras_reweight.functional.relevance_scores import relevance_scores
from keras_reweight.functional.sequence_log_prob import sequence_log_prob
from keras_reweight.functional.sequence_nll import sequence_nll
from keras_reweight.functional.shrink_loss import shrink_loss
from keras_reweight.functional.steer_weights import steer_weights
from keras_reweight.functional.top_tokens import top_tokens

__all__ = [
    "alignment_weights",
    "class_weights",
    "cs_divergence",
    "cs_qmi",
    "empirical_probability_targets",
    "f_divergence_weight",
    "gairat_weights",
    "gaussian_kl",
    "gaussian_overlap",
    "gradient_variance_gap",
    "hard_patch_mask",
    "hypervolume",
    "loss_statistics",
    "max_variance_subset",
    "mix_domain_heads",
    "monotone_quantiles",
    "mse_optimal_mixing",
    "optimal_distillation_weight",
    "ordinal_probabilities",
    "pair_weights",
    "quantile_crossing_penalty",
    "recap_weights",
    "relevance_scores",
    "sequence_log_prob",
    "sequence_nll",
    "shrink_loss",
    "steer_weights",
    "top_tokens",
]

"""Students and teachers: distillation that respects weights."""

from keras_reweight.distillation.pld_distiller import PLDDistiller
from keras_reweight.distillation.self_distill import self_distill
from keras_reweight.distillation.weighted_distiller import WeightedDistiller

__all__ = ["PLDDistiller", "WeightedDistiller", "self_distill"]

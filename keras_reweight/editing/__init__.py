"""Change what a trained model knows, in weight space; every edit is a `Patch`."""

from keras_reweight.editing.align_weights import align_weights
from keras_reweight.editing.alignment_ratio import alignment_ratio
from keras_reweight.editing.curvature_edit import curvature_edit
from keras_reweight.editing.datamodel_targets import datamodel_targets
from keras_reweight.editing.fine_tune_only import fine_tune_only
from keras_reweight.editing.fisher_importance import fisher_importance
from keras_reweight.editing.importance_lora_init import importance_lora_init
from keras_reweight.editing.interpolation_choice import InterpolationChoice
from keras_reweight.editing.kfac_factors import kfac_factors
from keras_reweight.editing.kronecker_factors import KroneckerFactors
from keras_reweight.editing.lora_importance import lora_importance
from keras_reweight.editing.lora_patch import lora_patch
from keras_reweight.editing.match_outputs import match_outputs
from keras_reweight.editing.membership_inference import membership_inference
from keras_reweight.editing.module_criticality import module_criticality
from keras_reweight.editing.reglu_lora import reglu_lora
from keras_reweight.editing.rift import rift
from keras_reweight.editing.select_interpolation import select_interpolation
from keras_reweight.editing.selective_dampening import selective_dampening
from keras_reweight.editing.vila_lora import vila_lora
from keras_reweight.editing.weight_importance import WeightImportance

__all__ = [
    "InterpolationChoice",
    "KroneckerFactors",
    "WeightImportance",
    "align_weights",
    "alignment_ratio",
    "curvature_edit",
    "datamodel_targets",
    "fine_tune_only",
    "fisher_importance",
    "importance_lora_init",
    "kfac_factors",
    "lora_importance",
    "lora_patch",
    "match_outputs",
    "membership_inference",
    "module_criticality",
    "reglu_lora",
    "rift",
    "select_interpolation",
    "selective_dampening",
    "vila_lora",
]

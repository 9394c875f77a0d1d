"""The claims: one module each, which has these parts.

- The docstring: a title, then paragraphs `Claim:`, `Paper:`, `Setting:` and `Criterion:`.
- `SEEDS`: how many seeds a full run takes.
- `run(data, seeds, quick) -> Result`.
"""

from __future__ import annotations

import ast
import pathlib
from dataclasses import dataclass

_TOGETHER = (
    "lin_upper_regression",
    "weighting_mnist",
    "weighting_cifar",
    "lin_upper_characters",
    "el2n_noise",
    "el2n_keep_half",
    "noise_detection",
    "vog_easy",
    "label_noise",
    "long_tail",
    "group_dro",
    "auc_adult",
    "auc_synthetic",
    "anyloss_f1",
    "retrieval",
    "unlearning",
    "cape",
    "distillation",
    "meta",
    "dsir",
    "domain_alignment",
    "selection_weights",
    "sample_schedulers",
    "gradient_sampling",
    "influence",
    "pruning",
    "pruning_at_initialization",
    "pruning_criteria",
    "pruning_levels",
    "language_model_pruning",
    "structured_architectures",
    "structured_calibrated",
    "structured_pruning",
    "perp",
    "reconstruction",
    "oracle_pruning",
    "three_regimes",
    "sparse_training",
    "lottery",
    "quick_selection",
    "dynamic_gating",
    "quantization",
    "qat_levels",
    "qat_attention",
    "gaqat",
    "language_model_quantization",
    "language_model_quantization_wiki",
    "outlier_layers",
    "eco",
    "continual",
    "bit_allocation",
    "quantized_files",
    "signature",
    "adversarial_training",
    "adversarial_budget",
    "adversarial_style",
    "adversarial_long_tail",
    "sharpness",
    "trajectories",
    "udim",
    "loss_balancing",
    "samo",
    "modalities",
    "gradient_annealing",
    "datamodel_matching",
    "curvature_edit",
    "selective_dampening",
    "lora_unlearning",
    "weight_reports",
    "signature_corruptions",
    "soups",
    "soup_memory",
    "rebasin",
    "weight_aligning",
    "rift",
    "weighted_conv",
    "weight_compander",
    "learnable_ensemble",
)
#: Measure time, so nothing else may run beside them.
ALONE = (
    "cost",
    "loss_cost",
    "gradient_norm_cost",
    "pruning_cost",
    "quantization_cost",
    "solver_cost",
    "matching_cost",
    "patch_cost",
    "runtimes",
    "quantized_runtimes",
    "peers",
    "dsir_peer",
    "tfmot_peer",
    "tfmot_quantize_peer",
    "qkeras_peer",
    "keras_solver_peer",
    "torch_pruning_peer",
    "attacks_peer",
    "adversarial_step_cost",
    "balancing_cost",
)
#: In the order of the report.
NAMES = _TOGETHER + ALONE
_PARTS = ("Claim", "Paper", "Setting", "Criterion")


@dataclass(frozen=True)
class Description:
    """The docstring of a claim, taken apart."""

    title: str
    parts: dict[str, str]


def describe(name: str) -> Description:
    """Read what a claim says about itself, without importing it."""
    path = pathlib.Path(__file__).with_name(f"{name}.py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    title, *paragraphs = docstring.split("\n\n")
    parts = {}
    for paragraph in paragraphs:
        label, _, text = paragraph.partition(":")
        parts[label] = " ".join(text.split())
    if tuple(parts) != _PARTS:
        raise ValueError(f"{path.name}: the docstring must have {_PARTS}, it has {tuple(parts)}.")
    return Description(title.strip(), parts)

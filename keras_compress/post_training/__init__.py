"""Post-training quantization: layer by layer, without training the model."""

from keras_compress.post_training.awq import AWQ
from keras_compress.post_training.baq import BAQ
from keras_compress.post_training.codebook import Codebook
from keras_compress.post_training.coordinate_descent import CoordinateDescent
from keras_compress.post_training.fold_input_scales import fold_input_scales
from keras_compress.post_training.gptaq import GPTAQ
from keras_compress.post_training.gptq import GPTQ
from keras_compress.post_training.hadamard_matrix import hadamard_matrix
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.learned_power import LearnedPower
from keras_compress.post_training.learned_rounding import LearnedRounding
from keras_compress.post_training.post_training_report import PostTrainingReport
from keras_compress.post_training.power_search import PowerSearch
from keras_compress.post_training.quantize import quantize
from keras_compress.post_training.random_rotation import random_rotation
from keras_compress.post_training.reorder_outputs import reorder_outputs
from keras_compress.post_training.res_comp import ResComp
from keras_compress.post_training.rotate_pair import rotate_pair
from keras_compress.post_training.rotate_residual_stream import rotate_residual_stream
from keras_compress.post_training.rotated import Rotated
from keras_compress.post_training.round_to_nearest import RoundToNearest
from keras_compress.post_training.solver import Solver
from keras_compress.post_training.sparse_outliers import SparseOutliers
from keras_compress.post_training.token_importance import token_importance

__all__ = [
    "AWQ",
    "BAQ",
    "Codebook",
    "CoordinateDescent",
    "GPTAQ",
    "GPTQ",
    "LayerProblem",
    "LearnedPower",
    "LearnedRounding",
    "PostTrainingReport",
    "PowerSearch",
    "ResComp",
    "Rotated",
    "RoundToNearest",
    "Solver",
    "SparseOutliers",
    "fold_input_scales",
    "hadamard_matrix",
    "quantize",
    "random_rotation",
    "reorder_outputs",
    "rotate_pair",
    "rotate_residual_stream",
    "token_importance",
]

"""Gradients of Keras models: one interface, one file a backend, nothing written."""

from keras_reweight.core.gradients.clear_gradient_cache import clear_gradient_cache
from keras_reweight.core.gradients.commit_updates import commit_updates
from keras_reweight.core.gradients.fisher_diagonal import fisher_diagonal
from keras_reweight.core.gradients.grad_scale import grad_scale
from keras_reweight.core.gradients.hessian_vector_product import hessian_vector_product
from keras_reweight.core.gradients.input_gradient import input_gradient
from keras_reweight.core.gradients.jvp import jvp
from keras_reweight.core.gradients.make_hessian_vector_product import make_hessian_vector_product
from keras_reweight.core.gradients.make_input_gradient import make_input_gradient
from keras_reweight.core.gradients.make_jvp import make_jvp
from keras_reweight.core.gradients.make_per_sample_gradients import make_per_sample_gradients
from keras_reweight.core.gradients.make_value_and_grad import make_value_and_grad
from keras_reweight.core.gradients.per_sample_gradient_norms import per_sample_gradient_norms
from keras_reweight.core.gradients.per_sample_gradients import per_sample_gradients
from keras_reweight.core.gradients.value_and_grad import value_and_grad

__all__ = [
    "clear_gradient_cache",
    "commit_updates",
    "fisher_diagonal",
    "grad_scale",
    "hessian_vector_product",
    "input_gradient",
    "jvp",
    "make_hessian_vector_product",
    "make_input_gradient",
    "make_jvp",
    "make_per_sample_gradients",
    "make_value_and_grad",
    "per_sample_gradient_norms",
    "per_sample_gradients",
    "value_and_grad",
]

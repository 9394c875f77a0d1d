"""Gradients of Keras models, of their inputs and of single samples, on every backend."""

from keras_reweight.core.gradients import (
    clear_gradient_cache,
    commit_updates,
    fisher_diagonal,
    grad_scale,
    hessian_vector_product,
    input_gradient,
    jvp,
    make_hessian_vector_product,
    make_input_gradient,
    make_jvp,
    make_per_sample_gradients,
    make_value_and_grad,
    per_sample_gradient_norms,
    per_sample_gradients,
    value_and_grad,
)

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

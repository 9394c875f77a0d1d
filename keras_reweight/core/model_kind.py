"""Telling Functional, Sequential and subclassed models apart."""

from __future__ import annotations

import keras
from keras.src.models.functional import Functional


def is_functional(model: keras.Model) -> bool:
    """Whether `model` was made from symbolic inputs and outputs (also by a subclass)."""
    return isinstance(model, Functional)


def has_own_constructor(model: keras.Model) -> bool:
    """Whether the class of a Functional or Sequential model defines a constructor of its own."""
    base = Functional if is_functional(model) else keras.Sequential
    return type(model).__init__ is not base.__init__

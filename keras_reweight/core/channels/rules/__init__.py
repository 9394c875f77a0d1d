"""How each kind of layer passes channels on, one file a family.

A rule takes a `Call` and returns the `Tracked` outputs. Only exact types have rules: a subclass may
compute anything, and is left alone.
"""

from keras_reweight.core.channels.rules.registry import find_rule

__all__ = ["find_rule"]

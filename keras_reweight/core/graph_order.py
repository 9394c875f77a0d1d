"""Reads stay before the writes that follow them, whatever TensorFlow's graph optimizer does.

A `tf.function` reads and writes variables in the order of the program, by control edges from every
read to the next write. The dependency optimizer of TensorFlow's Grappler (seen in 2.21) can drop
such an edge; a value that is read before an update is then sometimes the one after it. A group of
the operations so far, awaited by the update as a whole, is not lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


def mark_order() -> Any:
    """A mark in the step that is being traced, for `after_mark`; `None` where none is needed."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    if tf.executing_eagerly():
        return None
    graph = tf.compat.v1.get_default_graph()
    return graph, len(graph.get_operations())


@contextlib.contextmanager
def after_mark(mark: Any) -> Iterator[None]:
    """What is done in this context waits for all operations since the mark."""
    if mark is None:
        yield
        return
    import tensorflow as tf

    graph, start = mark
    with tf.control_dependencies([tf.group(*graph.get_operations()[start:])]):
        yield

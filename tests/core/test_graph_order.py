"""An update in a compiled step waits for what was read before it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.graph_order import after_mark, mark_order

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def test_outside_of_a_graph_there_is_nothing_to_wait_for():
    variable = keras.Variable(np.ones(2, "float32"))
    mark = mark_order()
    assert mark is None
    with after_mark(mark):
        variable.assign_add([1.0, 2.0])
    assert ops.convert_to_numpy(variable.value).tolist() == [2.0, 3.0]


@pytest.mark.skipif(not ON_TENSORFLOW, reason="the graphs of TensorFlow")
def test_the_write_waits_for_the_group_of_all_reads():
    import tensorflow as tf

    first, second = (keras.Variable(np.ones(2, "float32")) for _ in range(2))

    @tf.function
    def step():
        total = first + second
        mark = mark_order()
        kept = ops.abs(first) + ops.abs(second)
        with after_mark(mark):
            first.assign_add(total)
        return kept

    operations = step.get_concrete_function().graph.get_operations()
    (write,) = (one for one in operations if one.type.startswith("Assign"))
    before, waiting = [], [write]
    while waiting:
        one = waiting.pop()
        direct = [*(tensor.op for tensor in one.inputs), *one.control_inputs]
        before += direct
        waiting += direct
    (group,) = {one for one in before if one.type == "NoOp"}
    reads = [one for one in group.control_inputs if one.type == "ReadVariableOp"]
    assert len(reads) == 2
    assert step().numpy().tolist() == [2.0, 2.0]

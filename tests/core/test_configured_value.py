"""Objects compared by their configs."""

from keras_reweight.core.configured_value import ConfiguredValue


class Pair(ConfiguredValue):
    def __init__(self, first=0, second=()):
        self.first, self.second = first, second

    def get_config(self):
        return {"first": self.first, "second": self.second}


class Other(Pair):
    pass


def test_equal_configs_make_equal_objects():
    assert Pair(1, [2]) == Pair.from_config({"first": 1.0, "second": [2]}) != Pair(1, [3])
    assert Pair() != Other() and Pair() != 0
    assert len({Pair(1, [2]), Pair(1.0, [2]), Pair(2, [2])}) == 2
    assert repr(Pair(1, [2])) == "Pair(first=1, second=[2])"

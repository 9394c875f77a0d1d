"""Selection on scores made by hand."""

import re

import numpy as np
import pytest

from keras_compress.structured import ChannelGroup
from keras_compress.structured.selection import (
    Limits,
    check_scores,
    resolve_ratios,
    select_channels,
)

SCORES = {
    "a": np.array([0.9, 0.1, 0.5, 0.3]),
    "b": np.array([0.2, 0.8, 0.7, 0.6, 0.4, 0.05]),
}
GROUPS = [ChannelGroup(name, len(each), "units", (name,), ()) for name, each in SCORES.items()]
ONE_POOL = ("a", "b")


def kept(ratio, *, pool=None, scores=SCORES, **limits):
    """Indices that stay, by group: `pool` for one ranking, else one for each group."""
    pools = {"all": (ratio, pool)} if pool else {name: (ratio, [name]) for name in scores}
    keep = select_channels(GROUPS, scores, pools, Limits(**limits))
    return {name: np.flatnonzero(mask).tolist() for name, mask in keep.items()}


def test_local_takes_the_lowest_of_each_group():
    assert kept(0.5) == {"a": [0, 2], "b": [1, 2, 3]}
    assert kept(0.0) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4, 5]}


def test_global_takes_the_lowest_of_all():
    # Of 0.05 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 the first five go.
    assert kept(0.5, pool=ONE_POOL) == {"a": [0, 2], "b": [1, 2, 3]}
    assert kept(0.3, pool=ONE_POOL) == {"a": [0, 2, 3], "b": [1, 2, 3, 4]}
    scores = {"a": SCORES["a"] / 100, "b": SCORES["b"]}
    assert kept(0.4, pool=ONE_POOL, scores=scores)["a"] == [0]


def test_the_number_that_goes_is_that_of_torch_pruning():
    """`size - int(size * (1 - ratio))`, without its error at 10 * (1 - 0.9)."""
    for size in range(1, 40):
        group = ChannelGroup("g", size, "units", ("g",), ())
        for percent in range(0, 100, 5):
            scores = {"g": np.arange(size, dtype="float64")}
            keep = select_channels([group], scores, {0: (percent / 100, ["g"])}, Limits())["g"]
            assert keep.sum() == max(1, size * (100 - percent) // 100)


def test_a_group_is_never_emptied_and_others_go_instead():
    scores = {"a": SCORES["a"] / 100, "b": SCORES["b"]}
    assert kept(0.5, pool=ONE_POOL, scores=scores) == {"a": [0], "b": [1, 2, 3, 4]}
    found = kept(0.5, pool=ONE_POOL, scores=scores, min_channels=3)
    assert found == {"a": [0, 2, 3], "b": [1, 2, 3]}
    assert kept(0.99) == {"a": [0], "b": [1]}


@pytest.mark.parametrize(
    "limits, expected",
    [
        ({"max_ratio": 0.5}, (2, 3)),
        ({"max_ratio": 0.6}, (2, 3)),
        ({"min_channels": 3}, (3, 3)),
        ({"min_channels": 5}, (4, 5)),
        ({"round_to": 2}, (2, 2)),
        ({"round_to": 4}, (4, 4)),
        ({"round_to": 5}, (4, 5)),
        ({"round_to": 2, "min_channels": 3}, (4, 4)),
    ],
)
def test_limits(limits, expected):
    found = kept(0.9, **limits)
    assert tuple(map(len, found.values())) == expected


def test_rounding_is_down_and_leaves_whole_groups_alone():
    assert len(kept(0.2, round_to=3)["b"]) == 3
    assert len(kept(0.0, round_to=4)["b"]) == 6


def test_more_is_removed_from_what_less_left():
    for pool in (None, ONE_POOL):
        before = kept(0.0, pool=pool)
        for ratio in np.linspace(0.0, 0.95, 20):
            after = kept(float(ratio), pool=pool)
            assert all(set(after[name]) <= set(before[name]) for name in after)
            before = after


def test_equal_scores_go_in_order():
    scores = {name: np.ones(len(each)) for name, each in SCORES.items()}
    assert kept(0.5, scores=scores) == {"a": [2, 3], "b": [3, 4, 5]}
    assert kept(0.5, scores=scores, pool=ONE_POOL) == {"a": [3], "b": [2, 3, 4, 5]}


def test_limits_of_the_original_sizes():
    pools = {"all": (0.5, ["a", "b"])}
    keep = select_channels(GROUPS, SCORES, pools, Limits(max_ratio=0.5), {"a": 8, "b": 12})
    assert all(mask.all() for mask in keep.values())


def ratios(ratio):
    groups = [
        ChannelGroup("stem", 4, "channels", ("stem", "block/conv"), ()),
        ChannelGroup("block/first", 4, "channels", ("block/first",), ()),
        ChannelGroup("hidden", 4, "units", ("hidden",), ()),
    ]
    return {name: value for name, (_, value) in resolve_ratios(ratio, groups).items()}


def test_ratios_by_name_and_pattern():
    assert ratios(0.3) == {"stem": 0.3, "block/first": 0.3, "hidden": 0.3}
    assert ratios({"hidden": 0.1}) == {"hidden": 0.1}
    assert ratios({"conv": 0.4}) == {"stem": 0.4}
    assert ratios({"block/*": 0.4, "first": 0.2}) == {"stem": 0.4, "block/first": 0.2}
    assert ratios({"h*": 0.4, "*": 0.6}) == {"stem": 0.6, "block/first": 0.6, "hidden": 0.4}
    assert ratios({re.compile("^block"): 0.5}) == {"stem": 0.5, "block/first": 0.5}
    assert ratios({"stem": 0.5, "conv": 0.2}) == {"stem": 0.2}


@pytest.mark.parametrize(
    "ratio, error, match",
    [
        (1.0, ValueError, "ratio"),
        (-0.1, ValueError, "ratio"),
        ("half", TypeError, "half"),
        ({}, ValueError, "empty"),
        ({"head": 0.5}, ValueError, "head"),
        ({"hidden": 1.5}, ValueError, "1.5"),
        ({3: 0.5}, TypeError, "3"),
    ],
)
def test_wrong_ratios(ratio, error, match):
    with pytest.raises(error, match=match):
        ratios(ratio)


@pytest.mark.parametrize(
    "scores, match",
    [
        ({"a": SCORES["a"]}, "none"),
        ({**SCORES, "b": np.ones(3)}, r"\(3,\)"),
        ({**SCORES, "b": np.full(6, np.nan)}, "NaN"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, match):
    with pytest.raises(ValueError, match=match):
        check_scores(scores, GROUPS, "mine")

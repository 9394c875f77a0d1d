"""Structured pruning against Torch-Pruning, on the same weights.

`python -m benchmarks.torch_pruning_peer --data cifar10_12k.npz` trains a small residual network
with Keras on torch, copies its weights into the same network of plain PyTorch, and prunes both by
half: ours with `prune_structured`, theirs with `MagnitudePruner`. Compared are the importances of
all groups of channels, the channels that are kept, the logits and the accuracy of the smaller
models, and the time, in turns with one thread. A line of JSON for each way of pruning.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np

RATIO = 0.5
WIDTHS = (16, 24, 32)
TOLERANCE = 1e-5
ARMS = {
    "local magnitude": ("local", {"normalizer": "mean"}),
    "global magnitude": ("global", {"normalizer": "mean"}),
    "global LAMP": ("global", {"normalizer": "lamp"}),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torch_pruning_peer", description=__doc__
    )
    parser.add_argument("--data", required=True, help="file with CIFAR images as arrays")
    parser.add_argument("--rounds", type=int, default=5, help="timed prunings of each kind")
    parser.add_argument("--images", type=int, default=3200, help="images to train on")
    arguments = parser.parse_args()
    try:
        import torch_pruning  # noqa: F401
    except ImportError as error:
        print(f"{error}. Install the peer: pip install --no-deps torch-pruning", file=sys.stderr)
        return 2
    import torch

    torch.set_num_threads(1)
    ours, (x, y) = _trained(arguments.data, arguments.images)
    theirs = torch_net(WIDTHS)
    copy_weights(ours, theirs)
    logits = _keras_logits(ours, x), _torch_logits(theirs, x)
    same_start = _difference(*logits)
    rows = []
    for arm, (scope, importance) in ARMS.items():
        row = _compare(arm, scope, importance, ours, theirs, x, y, arguments.rounds)
        rows.append({**row, "difference of the dense models": same_start})
        print(json.dumps(rows[-1]))
    return 0 if all(row["difference"] <= TOLERANCE for row in rows) else 1


def keras_net(widths, size=32, classes=10):
    """Two residual blocks, a convolution between them, and two dense layers."""
    import keras
    from keras import layers

    def convolution(x, filters, name, strides=1):
        x = layers.Conv2D(filters, 3, strides=strides, padding="valid", use_bias=False, name=name)(
            layers.ZeroPadding2D(1)(x)
        )
        # A short training has to be enough for the moving statistics.
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)

    def block(x, filters, name):
        y = layers.ReLU()(convolution(x, filters, f"{name}_first"))
        y = convolution(y, x.shape[-1], f"{name}_second")
        return layers.ReLU()(layers.Add()([x, y]))

    narrow, middle, wide = widths
    inputs = keras.Input((size, size, 3))
    x = layers.ReLU()(convolution(inputs, narrow, "stem", strides=2))
    x = block(x, middle, "one")
    x = layers.ReLU()(convolution(x, wide, "down", strides=2))
    x = block(x, middle, "two")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(wide, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(classes, name="head")(x))


def torch_net(widths, classes=10):
    """The same network with `torch.nn`; its modules have the names of the Keras layers."""
    import torch
    from torch import nn

    narrow, middle, wide = widths

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for name, into, out, stride in (
                ("stem", 3, narrow, 2),
                ("one_first", narrow, middle, 1),
                ("one_second", middle, narrow, 1),
                ("down", narrow, wide, 2),
                ("two_first", wide, middle, 1),
                ("two_second", middle, wide, 1),
            ):
                setattr(self, name, nn.Conv2d(into, out, 3, stride, 1, bias=False))
                setattr(self, f"{name}_norm", nn.BatchNorm2d(out))
            self.hidden = nn.Linear(wide, wide)
            self.head = nn.Linear(wide, classes)

        def convolution(self, x, name):
            return getattr(self, f"{name}_norm")(getattr(self, name)(x))

        def block(self, x, name):
            y = torch.relu(self.convolution(x, f"{name}_first"))
            return torch.relu(x + self.convolution(y, f"{name}_second"))

        def forward(self, x):
            x = self.block(torch.relu(self.convolution(x, "stem")), "one")
            x = self.block(torch.relu(self.convolution(x, "down")), "two")
            return self.head(torch.relu(self.hidden(x.mean((2, 3)))))

    return Net().eval()


def copy_weights(model, net):
    """Weight by weight: kernels to torch's order of axes, statistics of normalizations, too."""
    import torch

    orders = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    names = ("weight", "bias", "running_mean", "running_var")
    for layer in model.layers:
        weights = layer.get_weights()
        for name, value in zip(names, weights, strict=False):
            value = np.ascontiguousarray(value.transpose(orders[value.ndim]))
            getattr(getattr(net, layer.name), name).data.copy_(torch.from_numpy(value))


def their_importances(net, size, **arguments):
    """`(names of the layers that make the channels) -> importances`, as Torch-Pruning has them."""
    import torch
    import torch_pruning as tp

    graph = tp.DependencyGraph().build_dependency(net, torch.zeros(1, 3, size, size))
    importance = tp.importance.GroupMagnitudeImportance(**arguments)
    return {
        _makers(graph, group): importance(group).numpy()
        for group in graph.get_all_groups(ignored_layers=[net.head])
    }


def _makers(graph, group):
    names = {module: name for name, module in graph.model.named_modules()}
    return tuple(
        sorted(
            {
                names[dependency.target.module]
                for dependency, _ in group
                if graph.is_out_channel_pruning_fn(dependency.handler)
                and hasattr(dependency.target.module, "weight")
                and dependency.target.module.weight.dim() > 1
            }
        )
    )


def _trained(path, images):
    import keras

    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    x, x_test = (arrays[key].astype("float32") / 255.0 for key in ("x_train", "x_test"))
    keras.utils.set_random_seed(0)
    model = keras_net(WIDTHS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    rows = np.random.default_rng(0).permutation(len(x))[:images]
    model.fit(x[rows], arrays["y_train"].reshape(-1)[rows], batch_size=64, epochs=3, verbose=0)
    return model, (x_test[:1000], arrays["y_test"].reshape(-1)[:1000])


def _compare(arm, scope, options, ours, theirs, x, y, rounds):
    import keras_compress as kc

    importance = kc.structured.GroupMagnitude(**options)
    graph = kc.structured.ChannelGraph(ours)
    found = importance.scores(graph, graph.groups)
    makers = {tuple(sorted(group.producers)): found[group.name] for group in graph.groups}
    wanted = their_importances(theirs, 32, **options)
    if set(makers) != set(wanted):
        raise RuntimeError(f"other groups: {sorted(makers)} and {sorted(wanted)}")
    difference = max(_difference(makers[key], wanted[key]) for key in wanted)

    seconds = {"ours": [], "theirs": []}
    for _ in range(rounds):
        began = time.perf_counter()
        small = kc.prune_structured(ours, RATIO, importance=importance, scope=scope)
        seconds["ours"].append(time.perf_counter() - began)
        net = _copy(theirs)
        began = time.perf_counter()
        _prune_theirs(net, scope, options)
        seconds["theirs"].append(time.perf_counter() - began)
    logits = _keras_logits(small, x), _torch_logits(net, x)
    right = [100.0 * float(np.mean(each.argmax(axis=-1) == y)) for each in logits]
    return {
        "arm": arm,
        "difference": difference,
        "same channels": _same_weights(small, net),
        "difference of logits": _difference(*logits),
        "dense accuracy %": 100.0 * float(np.mean(_keras_logits(ours, x).argmax(axis=-1) == y)),
        "accuracy %": right[0],
        "their accuracy %": right[1],
        "parameters": small.count_params(),
        "seconds": statistics.median(seconds["ours"]),
        "their seconds": statistics.median(seconds["theirs"]),
        "time ratio": statistics.median(seconds["ours"]) / statistics.median(seconds["theirs"]),
    }


def _prune_theirs(net, scope, options):
    import torch
    import torch_pruning as tp

    tp.pruner.MagnitudePruner(
        net,
        torch.zeros(1, 3, 32, 32),
        importance=tp.importance.GroupMagnitudeImportance(**options),
        global_pruning=scope == "global",
        pruning_ratio=RATIO,
        ignored_layers=[net.head],
    ).step()


def _copy(net):
    copy = torch_net(WIDTHS)
    copy.load_state_dict(net.state_dict())
    return copy


def _same_weights(model, net):
    """Whether every kernel of the smaller models is the same: the same channels in their order."""
    for layer in model.layers:
        weights = layer.get_weights()
        if weights and weights[0].ndim > 1:
            their = getattr(net, layer.name).weight.detach().numpy()
            order = (2, 3, 1, 0) if their.ndim == 4 else (1, 0)
            if not np.array_equal(weights[0], their.transpose(order)):
                return False
    return True


def _keras_logits(model, x):
    return model.predict(x, batch_size=250, verbose=0)


def _torch_logits(net, x):
    import torch

    with torch.no_grad():
        images = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        return net(images).numpy()


def _difference(first, second):
    return float(np.abs(first - second).max() / np.abs(second).max())


if __name__ == "__main__":
    sys.exit(main())

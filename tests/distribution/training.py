"""A training with schedulers on several devices: `python FILE KIND OUTPUT [RANK RENDEZVOUS]`."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import time

import keras
import numpy as np

import keras_reweight as kr

N, BATCH, EPOCHS, RATE = 32, 16, 3, 0.4
GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(size=(N, 3)).astype("float32")
Y = GENERATOR.integers(0, 3, N)
GROUP = (np.arange(N) % 3 == 0).astype("int32")
KERNEL = GENERATOR.normal(size=(3, 3)).astype("float32")


def callback(name):
    """One callback of each kind of memory: none, groups, samples."""
    return {
        "reweight": lambda: kr.callbacks.Reweight(kr.weightings.LinUpper(0.4)),
        "group_dro": lambda: kr.callbacks.GroupDRO(2, step_size=0.5),
        "loss_history": lambda: kr.callbacks.LossHistoryReweight(
            N, kr.weightings.KLDRO(0.7), momentum=0.5
        ),
        "table": lambda: kr.callbacks.LossHistoryReweight(
            N, kr.weightings.KLDRO(0.7), memory=kr.data.SampleTable(N, {"weight": 1.0})
        ),
    }[name]()


NAMES = ("reweight", "group_dro", "loss_history", "table")


def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.set_weights([KERNEL, np.zeros(3)])
    model.compile(
        keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    kr.data.enable_aux_targets(model)
    return model


def train(name, scope=contextlib.nullcontext):
    """Final kernel and the state of the callback, as named arrays."""
    with scope():
        model = build()
    made = callback(name)
    targets = kr.data.pack_targets(Y, sample_id=np.arange(N), group=GROUP)
    options = {"epochs": EPOCHS, "shuffle": False, "verbose": 0, "callbacks": [made]}
    if name == "table":
        data = kr.data.with_sample_weights((X, targets), made.memory, batch_size=BATCH)
        model.fit(data, **options)
    else:
        model.fit(X, targets, batch_size=BATCH, **options)
    state = {key: value for key, value in made.get_state().items() if value.dtype.kind == "f"}
    found = {f"{name}/{key}": value for key, value in state.items()}
    return {f"{name}/kernel": model.get_weights()[0], **found}


def train_all(scope=contextlib.nullcontext):
    found = {}
    for name in NAMES:
        found.update(train(name, scope))
    return found


def on_jax_devices():
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(distribution)
    assert len(keras.distribution.list_devices()) == 8
    return train_all()


def on_mirrored_devices():
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    found = {**train("reweight", strategy.scope), **train("loss_history", strategy.scope)}
    for name in ("group_dro", "table"):
        try:
            train(name, strategy.scope)
        except ValueError as error:
            found[f"{name}/error"] = np.array(str(error))
    return found


def on_two_processes(rank, rendezvous):
    """Samples are shared out; every process knows the losses of all at the end of an epoch."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    model, scheduler = build(), callback("loss_history")
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), RATE)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    for epoch in range(EPOCHS):
        losses, count = torch.zeros(N), torch.zeros(N, dtype=torch.int32)
        for start in range(0, N, BATCH):
            ids = np.arange(start, start + BATCH)[rank::2]
            per_sample = cross_entropy(Y[ids], parallel(torch.from_numpy(X[ids])))
            weights = torch.from_numpy(scheduler.table.gather(ids, "weight"))
            optimizer.zero_grad()
            (weights * per_sample).mean().backward()
            optimizer.step()
            losses[ids], count[ids] = per_sample.detach(), 1
        # Every sample was on one process, the others hold zeros.
        torch.distributed.all_reduce(losses)
        torch.distributed.all_reduce(count)
        scheduler.finish_epoch(epoch, {"count": count.numpy(), "loss": losses.numpy()})
    table = {f"loss_history/table_{k}": np.array(scheduler.table[k]) for k in ("weight", "loss")}
    return {"loss_history/kernel": model.get_weights()[0], **table}


def leave_together(rank, rendezvous):
    """End this process when the other one needs it no more.

    Without a word of gloo: taking its process group apart has kept a process from ending.
    """
    mine, other = (pathlib.Path(f"{rendezvous}.{each}.done") for each in (rank, 1 - rank))
    mine.touch()
    end = time.monotonic() + 60
    while not other.exists() and time.monotonic() < end:
        time.sleep(0.05)
    os._exit(0)


def save(path, arrays):
    np.savez(path, **{name.replace("/", "|"): value for name, value in arrays.items()})


def load(path):
    with np.load(path, allow_pickle=False) as file:
        return {name.replace("|", "/"): file[name] for name in file.files}


if __name__ == "__main__":
    if sys.argv[1] == "ddp":
        rank, rendezvous = int(sys.argv[3]), sys.argv[4]
        save(sys.argv[2], on_two_processes(rank, rendezvous))
        leave_together(rank, rendezvous)
    else:
        runs = {"jax": on_jax_devices, "mirrored": on_mirrored_devices}
        save(sys.argv[2], runs[sys.argv[1]]())

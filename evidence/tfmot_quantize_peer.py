"""Training at 8 bits is as accurate as TensorFlow Model Optimization's, and no slower.

Claim: From the same float weights, on the same batches, `quantize_aware` with weights and inputs of
layers at 8 bits ends where `quantize_model` of tfmot ends, with learned steps and with tfmot's own
method, moving ranges; and a step takes no longer.

Paper: Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153, against Jacob et
al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, arXiv 1712.05877; the peer is tensorflow-model-optimization 0.8.1 with tf-keras 2.21, in
a process of its own.

Setting: MNIST: 784-128-128-10 network, 10240 images, 4 epochs. CIFAR: three strided convolutions
and a dense layer of 128, 6400 images, 8 epochs. Then 2 epochs with Adam 0.0003 and batches of 64 in
the same order for every arm, the float baseline included. tfmot: 8 bits with moving ranges, as it
comes; ours: learned steps, or moving ranges (`weights="minmax8", activations="moving_average8"`),
calibrated on 512 images. Accuracies of the fake-quantized models. Time:
`python -m benchmarks.quantize_peers time`: both networks, batches of 64, random data, one thread,
plain and quantized `fit` in turns, epochs of 32 steps, ours on the TensorFlow backend against Keras
3, theirs against tf_keras; medians over epochs of two processes each.

Criterion: On both data sets ours, either way, is at most half a point less accurate than tfmot; our
quantized step takes at most as long as theirs, by the clock and by the plain step beside it.
"""

from __future__ import annotations

from benchmarks.quantize_peers import TFMOT
from evidence._quantize_peer import ACCURACY, RANGES, compare, time_steps
from evidence.result import Result

SEEDS = 3
ARM = "w8a8"


def run(data, seeds, quick) -> Result:
    result = Result()
    if compare(result, TFMOT, data, seeds, quick, [ARM], with_ranges=True):
        for name in ("MNIST", "CIFAR"):
            theirs = result.center(f"{name}, {ARM}, {TFMOT}", ACCURACY)
            for label in ("ours", RANGES):
                ours = result.center(f"{name}, {ARM}, {label}", ACCURACY)
                result.at_least(f"{label} minus tfmot on {name}, in points", ours - theirs, -0.5)
        time_steps(result, TFMOT, quick)
    return result

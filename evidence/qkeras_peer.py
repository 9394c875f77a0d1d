"""Training at 8, 4 and 2 bits is as accurate as with QKeras, and no slower.

Claim: From the same float weights, on the same batches, `quantize_aware` ends at least where the
layers of QKeras end, at 8 bits for weights and activations and at 4 and 2 bits for weights, and a
step takes no longer.

Paper: Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153, against Coelho
et al., "Automatic heterogeneous quantization of deep neural networks for low-latency inference on
the edge for particle detectors", Nature Machine Intelligence 3, 2021, arXiv 2006.10159; the peer is
qkeras-v3 1.2.1, in a process of its own.

Setting: As in `tfmot_quantize_peer`. QKeras: `quantized_bits` with a scale for each output channel
(`alpha="auto"`) for kernels and, at `a8`, `quantized_relu` behind every layer but the last, with as
many integer bits as 512 images need; ours: learned steps, calibrated on the same images, for the
inputs of all layers. Both on the TensorFlow backend for the time.

Criterion: On both data sets ours is at most half a point less accurate at 8 bits and at 4 bits, and
not less accurate at 2 bits; our quantized step takes at most as long as theirs.
"""

from __future__ import annotations

from benchmarks.quantize_peers import QKERAS
from evidence._quantize_peer import ACCURACY, compare, time_steps
from evidence.result import Result

SEEDS = 3
LIMITS = {"w8a8": -0.5, "w4": -0.5, "w2": 0.0}


def run(data, seeds, quick) -> Result:
    result = Result()
    if compare(result, QKERAS, data, seeds, quick, list(LIMITS)):
        for name in ("MNIST", "CIFAR"):
            for arm, limit in LIMITS.items():
                ours, theirs = (
                    result.center(f"{name}, {arm}, {kind}", ACCURACY) for kind in ("ours", QKERAS)
                )
                text = f"ours minus qkeras at {arm} on {name}, in points"
                result.at_least(text, ours - theirs, limit)
        time_steps(result, QKERAS, quick)
    return result

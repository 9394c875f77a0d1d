"""Channels that each sample switches on and off for itself."""

from keras_compress.dynamic.channel_targets import channel_targets
from keras_compress.dynamic.dynamic_channel_gate import DynamicChannelGate
from keras_compress.dynamic.dynamic_compute_report import DynamicComputeReport
from keras_compress.dynamic.dynamic_macs import dynamic_macs
from keras_compress.dynamic.set_gate_weight import set_gate_weight

__all__ = [
    "DynamicChannelGate",
    "DynamicComputeReport",
    "channel_targets",
    "dynamic_macs",
    "set_gate_weight",
]

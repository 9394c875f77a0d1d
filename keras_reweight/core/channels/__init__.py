"""Channels of a model: followed from layer to layer, and grouped by what makes them."""

from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.channels.channel_map import ChannelMap
from keras_reweight.core.channels.weight_slice import WeightSlice

__all__ = ["ChannelGroup", "ChannelMap", "WeightSlice"]

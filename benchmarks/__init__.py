"""What the methods cost: time per training step and memory, as ratios to plain `fit`."""

"""Does it do what the papers say? One program per claim, the baseline in the same run."""

from tests.compress.structured.pruned import cheap_initial_values

__all__ = ["cheap_initial_values"]

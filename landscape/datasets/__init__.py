"""Data sets as examples with inputs in [0, 1], labels and ids."""

"""Networks that map pictures to logits, their normalization, and the registry of their names."""

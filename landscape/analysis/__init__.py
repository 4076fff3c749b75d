"""From surfaces to numbers, tables and pictures."""

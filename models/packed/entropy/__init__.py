"""Entropy coding of low-bit weights: frequency tables, how they are fitted, the range coder."""

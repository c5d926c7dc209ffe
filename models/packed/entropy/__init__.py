"""Entropy coding of low-bit weights: models of the codes, how they are fitted, the coder (rANS)."""

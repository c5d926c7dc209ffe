"""The student stages: distill, quantise, pack."""

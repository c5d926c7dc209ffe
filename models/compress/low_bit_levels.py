"""Bit widths and their codes, by arithmetic alone (no torch, no numpy)."""

LEVELS = {"ternary": 3, "2": 4, "3": 8, "4": 16, "5": 32, "6": 64, "8": 256}  # name of a bit width -> its levels


def code_range(levels: int) -> tuple[int, int]:
    """Smallest and largest code: from -(levels // 2) to (levels - 1) // 2, so that 0 is always one of them."""
    return -(levels // 2), (levels - 1) // 2

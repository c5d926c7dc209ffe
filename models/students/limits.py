"""What a network may be at most: a few hostile bytes can never ask for more (no torch)."""

CLASS_COUNT_RANGE = (2, 65_535)
IMAGE_SIZE_RANGE = (16, 1024)
IMAGE_SIZE_STEP = 16  # every family halves the image four times
MAX_PARAMETERS = 16 * 2**20  # 64 MiB as float32; the 40.7 MB reference CNN has 10.1 million
MAX_ROWS = 2048  # rows inside blocks included; the deepest family has 1350
MAX_NESTING = 4  # blocks inside blocks; families have two
MAX_TIMES = 64  # how often a block is done with the same weights, those around it included
MAX_CHANNELS = 65_535
MAX_KERNEL = 15
MAX_ACTIVATIONS = 2**30  # values that one row gives for one image; the widest families come to that


def check_range(what: str, value: int, lowest: int, highest: int) -> None:
    """Raise ValueError, naming `what`, unless the value is an int within these inclusive limits."""
    if type(value) is not int:  # True is an int to isinstance, and no width
        raise ValueError(f"{what} {value!r}, expected a whole number from {lowest} to {highest}")
    if not lowest <= value <= highest:
        raise ValueError(f"{what} {value}, expected {lowest} to {highest}")


def check_image_size(image_size: int) -> None:
    """Raise ValueError unless `image_size` (pixels per side) is a multiple of 16 from 16 to 1024."""
    lowest, highest = IMAGE_SIZE_RANGE
    check_range("image size", image_size, lowest, highest)
    if image_size % IMAGE_SIZE_STEP:
        raise ValueError(f"image size {image_size}, expected a multiple of {IMAGE_SIZE_STEP}")


def check_class_count(classes: int) -> None:
    """Raise ValueError unless the number of classes lies in 2..65535."""
    check_range("number of classes", classes, *CLASS_COUNT_RANGE)

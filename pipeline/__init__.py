"""From a contest to a delivered file: everything that reads images, trains, or writes what a run leaves behind."""

import os

# albumentations asks a server for a newer release at import unless told not to (albumentations/__init__.py)
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

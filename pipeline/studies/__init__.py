"""Studies: many networks on one contest, compared in a table and a plot. Their names are here, for the command line."""

from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import nearest

NAMES = ("frontier", "networks", "recipes", "members")


def check_study(name: str) -> None:
    """Refuse a study that does not exist. Raises RequestError with the nearest one."""
    if name not in NAMES:
        raise RequestError(f"unknown study {name!r}{nearest(name, list(NAMES))}; expected one of {', '.join(NAMES)}")

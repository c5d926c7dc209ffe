"""On the images of Colab and Kaggle every requirement is there and in range: run.sh installs nothing, asks no network.

`images.json` records what public repositories tell of the images: of all packages those that are required.
"""

import json
from pathlib import Path

import packaging
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.test_run_sh import PYTHON, House

ROOT = Path(__file__).parents[1]
IMAGES: dict[str, dict] = json.loads((ROOT / "tests" / "images.json").read_text())
REQUIREMENTS = [
    Requirement(line.partition(" #")[0])
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
NO_SITE = PYTHON.replace('exec "$REAL_PYTHON" "$@"', 'exec "$REAL_PYTHON" -S "$@"')  # nothing but PYTHONPATH


def unmet(requirements: list[Requirement], packages: dict[str, str]) -> list[str]:
    """The requirements that an image's packages do not meet."""
    found = [(requirement, packages.get(requirement.name.lower())) for requirement in requirements]
    return [str(one) for one, version in found if version is None or not one.specifier.contains(version)]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_all_that_is_required(image: str) -> None:
    assert len(REQUIREMENTS) >= 10
    assert unmet(REQUIREMENTS, IMAGES[image]["packages"]) == []
    assert Version(IMAGES[image]["python"]) >= Version("3.11")


def test_what_an_image_lacks_is_noticed() -> None:
    packages = IMAGES["colab-2026-08-19"]["packages"]
    assert unmet([Requirement("constriction>=0.4"), Requirement("timm>=2")], packages) == [
        "constriction>=0.4",
        "timm>=2",
    ]


def made_site(folder: Path, packages: dict[str, str]) -> Path:
    """A folder that says that these packages are installed, and lets run.sh read requirements."""
    folder.mkdir()
    for name, version in packages.items():
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "packaging").symlink_to(Path(packaging.__file__).parent)
    return folder


@pytest.mark.parametrize("image", IMAGES)
def test_run_sh_installs_nothing_there(image: str, tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_python(script=NO_SITE)
    house.require((ROOT / "requirements.txt").read_text())
    site = made_site(tmp_path / "site-packages", IMAGES[image]["packages"])
    code, out, err = house.run("show", PYTHONPATH=str(site))
    assert (code, err) == (0, "")
    assert json.loads(out)["arguments"] == ["show"]
    assert house.new_log() == ["probe"]  # neither venv nor pip
    assert not (house.root / ".venv").exists()


def test_run_sh_installs_where_one_is_missing(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_python(script=NO_SITE)
    house.require((ROOT / "requirements.txt").read_text() + "constriction>=0.4")
    site = made_site(tmp_path / "site-packages", IMAGES["kaggle-2026-08-12"]["packages"])
    house.run("show", PYTHONPATH=str(site))
    assert "venv" in house.new_log()

"""run.sh: which Python it takes, when it installs, what it hands to the pipeline. Stubs only: nothing is downloaded."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

RUN_SH = Path(__file__).parents[1] / "run.sh"
TOOLS = ("bash", "env", "readlink", "mkdir", "rm", "mv", "cp", "cat", "sleep")

PIPELINE = """
import json, multiprocessing, os, signal, sys, time
from pipeline import child

def main():
    command, *rest = sys.argv[1:] or ["show"]
    if command == "exit":
        return int(rest[0])
    if command == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        print(os.getpid(), flush=True)
        time.sleep(30)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        in_child = pool.apply(child.where)
    facts = {"arguments": sys.argv[1:], "file": __file__, "child": in_child, "folder": os.getcwd()}
    print(json.dumps(facts | {"python": sys.executable, "stdin": sys.stdin.read()}))
    return 0

if __name__ == "__main__":
    sys.exit(main())
"""

# A Python that logs what it is asked, makes a venv out of itself and only pretends to install.
PYTHON = r"""#!/usr/bin/env bash
log() { printf '%s\n' "$*" >>"$STUB_LOG"; }
if [[ $1 == -c ]]; then log probe; fi
if [[ $1 == -P && $2 == -m ]]; then
  module=$3
  shift 3
  case $module in
    venv)
      log "venv $*"
      folder=${!#}
      mkdir -p "$folder/bin" "$folder/lib/python3.11/site-packages"
      cp "$0" "$folder/bin/python"
      [[ $* != *--system-site-packages* ]] || echo "include-system-site-packages = true" >"$folder/pyvenv.cfg"
      exit 0 ;;
    pip)
      log "pip $*"
      echo "this is pip"
      [[ -z ${PIP_SLEEPS-} ]] || { log "pip sleeps"; exec sleep "$PIP_SLEEPS"; }
      exit "${PIP_EXIT-0}" ;;
    ruff) log "ruff $*"; exit "${RUFF_EXIT-0}" ;;
    basedpyright) log "basedpyright $*"; exit "${PYRIGHT_EXIT-0}" ;;
    pytest) log "pytest $*"; echo "1 passed"; exit 0 ;;
  esac
  set -- -P -m "$module" "$@"
fi
exec "$REAL_PYTHON" "$@"
"""


class House:
    """A copy of run.sh with stubs around it, in a folder with a space in its name."""

    def __init__(self, root: Path) -> None:
        self.root = root / "the house"
        self.bin = root / "stub bin"
        self.log_file = root / "log"
        self.elsewhere = root / "user's folder"
        self.stamp = self.root / ".venv" / ".stamp"
        for folder in (self.root / "pipeline", self.bin, self.elsewhere):
            folder.mkdir(parents=True)
        shutil.copy(RUN_SH, self.root)
        (self.root / "pipeline" / "__init__.py").touch()
        (self.root / "pipeline" / "__main__.py").write_text(PIPELINE)
        (self.root / "pipeline" / "child.py").write_text("def where():\n    return __file__\n")
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.require("pytest>=1  # there, for it runs this")
        (self.root / "requirements-test.txt").write_text("pytest>=1\n")
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(root),
            "STUB_LOG": str(self.log_file),
            "REAL_PYTHON": sys.executable,
        }

    def require(self, text: str) -> None:
        (self.root / "requirements.txt").write_text(text + "\n")

    def add_python(self, name: str = "python3", script: str = PYTHON) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def start(
        self, *arguments: str, run_sh: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [run_sh or self.root / "run.sh", *arguments],
            cwd=self.elsewhere,
            env=self.environment | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, run_sh: Path | None = None, **environment: str) -> tuple[int, str, str]:
        """Returns the exit code, stdout and stderr."""
        with self.start(*arguments, run_sh=run_sh, environment=environment) as process:
            out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def new_log(self) -> list[str]:
        """The first word of every call since the last time."""
        lines = self.log_file.read_text().splitlines() if self.log_file.exists() else []
        self.log_file.unlink(missing_ok=True)
        return [line.split()[0] for line in lines]

    def wait_for_log(self, line: str) -> None:
        deadline = time.monotonic() + 20
        while not self.log_file.exists() or line not in self.log_file.read_text():
            assert time.monotonic() < deadline, f"never logged: {line}"
            time.sleep(0.02)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_active_python_runs_our_own_pipeline_from_anywhere(house: House) -> None:
    """Case a, with other modules of the same names about, a link to run.sh, spaces, child processes."""
    house.add_python()
    (house.elsewhere / "pipeline.py").write_text("raise SystemExit('the pipeline.py of the user')")
    (house.elsewhere / "packaging.py").write_text("raise SystemExit('the packaging.py of the user')")
    other = house.elsewhere / "other" / "pipeline"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise SystemExit('the pipeline of PYTHONPATH')")
    link = house.elsewhere / "link"
    link.symlink_to("../the house/run.sh")

    for expected_log in (["probe"], []):  # the second start asks no Python anything
        code, out, err = house.run("show", "a  b", "", "*", run_sh=link, PYTHONPATH=str(other.parent))
        assert (code, err) == (0, "")
        facts = json.loads(out)
        assert facts["arguments"] == ["show", "a  b", "", "*"]
        assert facts["file"] == str(house.root / "pipeline" / "__main__.py")
        assert facts["child"] == str(house.root / "pipeline" / "child.py")
        assert facts["folder"] == str(house.elsewhere)
        assert facts["python"] == sys.executable
        assert house.new_log() == expected_log
    assert not (house.root / ".venv").exists()

    house.require("pytest>=2")
    assert house.run("exit", "7")[0] == 7
    assert house.new_log() == ["probe"]


def test_pipeline_replaces_the_shell_and_gets_its_signals(house: House) -> None:
    house.add_python()
    with house.start("wait") as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 143

    command = [shutil.which("bash") or "bash", "-c", '"$0" show <&-', str(house.root / "run.sh")]
    finished = subprocess.run(command, env=house.environment, capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(finished.stdout)["stdin"] == ""


def test_without_a_suitable_python_it_says_what_it_found(house: House) -> None:
    expected = "run.sh: needs Python 3.11 or newer; found: "
    assert house.run() == (2, "", expected + "none\n")
    house.add_python("python3.12", "#!/usr/bin/env bash\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    house.add_python("python3", "#!/usr/bin/env bash\necho version=3.9.18\n")
    assert house.run() == (2, "", expected + "python3.12 that does not run, python3 3.9.18\n")
    assert not (house.root / ".venv").exists()


def test_fresh_environment_is_made_once_and_follows_requirements(house: House) -> None:
    house.add_python("python3.12")
    house.require("no-such-package-anywhere>=1")

    code, out, err = house.run("exit", "0", PIP_EXIT="1")
    assert (code, out) == (3, "")
    assert err.splitlines()[-1].startswith("run.sh: pip could not install requirements.txt into ")
    assert not (house.root / ".venv").exists()
    house.new_log()

    code, out, err = house.run()
    assert code == 0
    assert json.loads(out)["file"] == str(house.root / "pipeline" / "__main__.py")
    assert "installing into .venv" in err
    assert "about 6 GB" in err
    assert house.new_log() == ["probe", "venv", "probe", "pip"]

    assert house.run("exit", "5") == (5, "", "")
    assert house.new_log() == []

    house.require("no-such-package-anywhere>=2")
    code, _, err = house.run("exit", "0", PIP_EXIT="2")
    assert code == 3
    assert not house.stamp.exists()
    assert (house.root / ".venv" / "bin" / "python").exists()  # it worked before: kept for the next try
    house.new_log()
    code, _, err = house.run("exit", "0")
    assert code == 0
    assert "bringing .venv" in err
    assert "venv" not in house.new_log()
    assert house.stamp.exists()


def test_installed_torch_is_held(house: House) -> None:
    """Case b. The torch, with its local version label, is on PYTHONPATH, as on clusters."""
    house.add_python()
    house.require("torch>=2.10\nno-such-package-anywhere>=1")
    site = house.elsewhere / "modules"
    (site / "torch-2.11.0+cu130.dist-info").mkdir(parents=True)
    (site / "torch-2.11.0+cu130.dist-info" / "METADATA").write_text("Name: torch\nVersion: 2.11.0+cu130\n")
    code, _, err = house.run("exit", "0", PYTHONPATH=str(site))
    assert code == 0
    assert "kept as they are: torch==2.11.0+cu130" in err
    constraints = house.root / ".venv" / "constraints.txt"
    assert constraints.read_text() == "torch==2.11.0+cu130\n"
    log = house.log_file.read_text()
    assert "venv --system-site-packages" in log
    assert f"-c {constraints}" in log
    if sys.prefix != sys.base_prefix:  # a venv on top of a venv sees the packages of both
        [active] = (house.root / ".venv").glob("lib/python3.*/site-packages/active_python.pth")
        assert str(Path(sys.prefix)) in active.read_text()


def test_interrupted_set_up_does_not_count_as_done(house: House) -> None:
    house.add_python()
    house.require("no-such-package-anywhere>=1")
    with house.start("exit", "0", environment={"PIP_SLEEPS": "25"}) as process:
        house.wait_for_log("pip sleeps")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
        assert process.stderr is not None
        assert "interrupted" in process.stderr.read()
    assert not house.stamp.exists()
    house.new_log()
    assert house.run("exit", "4")[0] == 4
    assert "venv" in house.new_log()  # half an installation is thrown away


def test_two_starts_at_once_install_once(house: House) -> None:
    house.add_python()
    house.require("no-such-package-anywhere>=1")
    with house.start("exit", "0", environment={"PIP_SLEEPS": "1"}) as first:
        house.wait_for_log("pip sleeps")
        with house.start("exit", "6") as second:
            assert (second.wait(timeout=20), first.wait(timeout=20)) == (6, 0)
            assert second.stderr is not None
            assert "waiting for another run.sh" in second.stderr.read()
    log = house.log_file.read_text()
    assert (log.count("pip install"), log.count("venv ")) == (1, 1)


def test_test_command_runs_every_check_and_fails_with_the_first(house: House) -> None:
    house.add_python()
    house.require("no-such-package-anywhere>=1")
    code, out, _ = house.run("test", "-k", "a b")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("==")] == [
        "== ruff check",
        "== ruff format --check",
        "== basedpyright",
        "== pytest",
    ]
    assert out.splitlines()[-1] == "1 passed"
    log = house.log_file.read_text()
    assert f"-r {house.root}/requirements.txt -r {house.root}/requirements-test.txt" in log
    assert f"basedpyright --pythonpath {house.root}/.venv/bin/python" in log
    assert f"pytest --rootdir {house.root} -n 2 --dist worksteal -k a b" in log
    house.new_log()

    code, out, err = house.run("test", RUFF_EXIT="9", PYRIGHT_EXIT="1")
    assert code == 9
    assert "failed: ruff check (exit code 9)" in err
    assert house.new_log() == ["ruff", "ruff", "basedpyright", "pytest"]

    assert house.run("exit", "0") == (0, "", "")  # what was made for `test` serves the pipeline
    assert house.new_log() == []
    (house.root / "requirements-test.txt").write_text("pytest>=2\n")
    assert house.run("exit", "0")[0] == 0
    assert house.new_log() == []
    assert house.run("test")[0] == 0
    assert "pip" in house.new_log()

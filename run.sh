#!/usr/bin/env bash
# Makes the Python environment if it must, then runs the pipeline:  ./run.sh [arguments of the pipeline]
#                                                                   ./run.sh test [--long] [arguments of pytest]
# The environment is the first of these that works:
#   a. the active Python, when it has all that requirements.txt names (Kaggle, Colab, a venv of your own);
#   b. .venv on top of the active Python, when only its torch fits: its torch, torchvision and numpy are kept;
#   c. .venv on its own, with the newest Python found.
# A stamp records the choice, so the next start costs a few milliseconds. To choose again: rm -r .venv .venv.stamp
# Written for bash 3.2 and without flock, readlink -f or sha256sum, because macOS has none of the newer ones.
set -euo pipefail

say() { printf 'run.sh: %s\n' "$*" >&2; }
fail() {
  say "$2"
  exit "$1"
}

# With stdin closed the first file that anybody opens would become "stdin".
{ : 3<&0; } 2>/dev/null || exec </dev/null

script=${BASH_SOURCE[0]}
[[ $script == */* ]] || script=./$script
while [[ -L $script ]]; do
  target=$(readlink "$script")
  [[ $target == /* ]] || target=${script%/*}/$target
  script=$target
done
here=$(CDPATH='' cd -P -- "${script%/*}/" && pwd -P)
[[ $here != *:* ]] || fail 2 "the path of this folder must not contain ':' (Python separates folders by it): $here"

venv=$here/.venv
active_stamp=$here/.venv.stamp
requirement_files=("$here/requirements.txt")
[[ ${1-} != test ]] || requirement_files+=("$here/requirements-test.txt")
[[ ${1-} != test || " $* " != *" --long "* ]] || requirement_files+=("$here/requirements-optional.txt")

# A stamp holds the requirements themselves, not their digest: comparing needs no other program. The end marks make the
# key of a plain start a part of the key of `test`, so that an environment made for `test` serves both.
requirements='' pip_arguments=(install --quiet --no-input)
for file in "${requirement_files[@]}"; do
  requirements+=$'\n'$(<"$file")$'\n# end of file'
  pip_arguments+=(-r "$file")
done

# Inside an activated .venv the Python below it is meant, never .venv itself.
in_path() {
  local PATH=${PATH//"$venv/bin:"/}
  type -P "$1"
}

active_key="active: $(in_path python3 || true), $(in_path python || true), ${PYENV_VERSION-}, ${PYTHONPATH-}"
active_key+=$requirements

is_shared() { [[ -r $venv/pyvenv.cfg && $(<"$venv/pyvenv.cfg") == *"include-system-site-packages = true"* ]]; }

venv_key() {
  local seen=
  ! is_shared || seen=${PYTHONPATH-}
  printf '%s' "venv: $venv, $seen$requirements"
}

# stamp_holds STAMP KEY: sets python. A package folder newer than the stamp means that somebody installed or removed
# something since; built-in tests only, for this is the path of every start.
stamp_holds() {
  local stamp=$1 key=$2 name value
  [[ -r $stamp && $(<"$stamp") == *"$key"* ]] || return 1
  while IFS='=' read -r name value; do
    case $name in
      python) python=$value ;;
      site) [[ ! $value -nt $stamp ]] || return 1 ;;
    esac
  done <"$stamp"
  [[ -x ${python-} ]]
}

# write_stamp STAMP KEY: for $python and the package folders that were probed; whole or not at all.
write_stamp() {
  { printf '%s\n' "python=$python" "${sites[@]/#/site=}" "$2" >"$1.$$" && mv -f "$1.$$" "$1"; } 2>/dev/null
}

# One process per candidate answers everything. Any Python must be able to parse it. No single quotes: bash has it in
# them. PYTHONPATH and the user's packages count (HPC modules); the current folder does not.
PROBE='
import sys
sys.path = [entry for entry in sys.path if entry]
print("version=%d.%d.%d" % sys.version_info[:3])
if sys.version_info < (3, 11):
    sys.exit()
import fileinput, importlib.metadata, importlib.util, os, site
print("executable=" + sys.executable)
print("in_venv=%s" % (sys.prefix != sys.base_prefix))
print("tools= %s " % " ".join(tool for tool in ("venv", "ensurepip", "pip") if importlib.util.find_spec(tool)))
users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
for folder in dict.fromkeys(sys.path + site.getsitepackages() + users):
    if os.path.basename(folder) in ("site-packages", "dist-packages"):
        print("site=" + folder)
try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
satisfied = "yes"
for line in fileinput.input(encoding="utf-8"):
    text = line.partition(" #")[0].strip()
    if not text or text[0] in "#-":
        continue
    requirement = Requirement(text)
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        version = None
    if not version or not requirement.specifier.contains(version, prereleases=True):
        satisfied = "no"
    elif requirement.name.lower() in ("torch", "torchvision", "numpy"):
        print("held=%s==%s" % (requirement.name.lower(), version))
print("satisfied=" + satisfied)
'

# probe PYTHON: sets version (empty: it does not run), executable (empty: older than 3.11) and the rest.
probe() {
  local name value
  version='' executable='' in_venv='' tools='' sites=() held='' satisfied=''
  while IFS='=' read -r name value; do
    case $name in
      version | executable | in_venv | tools | satisfied) printf -v "$name" %s "$value" ;;
      site) sites+=("$value") ;;
      held) held+=$value$'\n' ;;
    esac
  done < <("$1" -c "$PROBE" "${requirement_files[@]}" 2>/dev/null </dev/null)
  [[ -n $executable ]]
}

# Case a; on the way, the base of case b is remembered, and a Python that runs.
runs='' base='' base_in_venv='' base_sites=() venv_command=(-P -m venv) made_now=''
use_active() {
  local name path
  for name in python3 python; do
    if ! path=$(in_path "$name") || ! probe "$path"; then continue; fi
    runs=$path
    if [[ $satisfied == yes ]]; then
      python=$executable
      # A folder that cannot be written (/kaggle/input) only costs the next start this check.
      write_stamp "$active_stamp" "$active_key" || true
      return 0
    fi
    if [[ -z $base && $'\n'$held == *$'\n'torch==* && $tools == *" venv "* && $tools == *pip* ]]; then
      base=$path base_in_venv=$in_venv base_sites=("${sites[@]}") venv_command+=(--system-site-packages)
      # Colab and bare Debian have pip but no ensurepip; the pip below is visible from .venv and installs into it.
      [[ $tools != *" pip "* ]] || venv_command+=(--without-pip)
    fi
  done
  return 1
}

# Case c. A name that exists need not run: pyenv's shims answer "command not found".
find_base() {
  local name path found=
  for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
    path=$(in_path "$name") || continue
    if probe "$path" && [[ $tools == *" venv "* && $tools == *" ensurepip "* ]]; then
      base=$path
      return
    fi
    found+="${found:+, }$name ${version:-that does not run}"
    [[ -z $executable ]] || found+=" without venv and ensurepip (Debian, Ubuntu: apt install python3-venv)"
  done
  fail 2 "needs Python 3.11 or newer; found: ${found:-none}"
}

# The child runs in the background because bash sees a signal only after a foreground child has ended.
child=
run_child() {
  local code=0
  "$@" </dev/null >&2 &
  child=$!
  wait "$child" || code=$?
  child=
  return "$code"
}

interrupted() {
  trap '' INT TERM HUP
  { kill "$child" && wait "$child"; } 2>/dev/null || true
  say "interrupted while setting up; the next start goes on from here or begins again"
  exit "$1"
}

# The lock lives as long as descriptor 9 is open here, so it cannot outlast a killed run.sh; Python sets it, for macOS
# has no flock command. A file system without locks gets none.
LOCK='
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.stderr.write("run.sh: waiting for another run.sh that is installing\n")
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass
'

create_venv() {
  local packages note="about 6 GB, a few minutes"
  [[ -n $base ]] || find_base
  made_now=yes
  [[ ! -e $venv ]] || say ".venv is half made, older than Python 3.11 or does not run: making it again"
  rm -rf "$venv"
  { mkdir "$venv" && : >"$venv/.unfinished"; } 2>/dev/null || fail 3 "cannot write $venv"
  run_child "$base" "${venv_command[@]}" "$venv" || fail 3 "could not make $venv with $base; the reason is above"
  # A venv made from a venv sees the packages of the Python below both, not those of the one it was made from.
  if is_shared && [[ $base_in_venv == True ]]; then
    packages=("$venv"/lib/python3.*/site-packages)
    printf '%s\n' "${base_sites[@]}" >"${packages[0]}/active_python.pth"
  fi
  probe "$venv/bin/python" || fail 3 "$venv/bin/python does not run"
  ! is_shared || note="kept as they are: ${held//$'\n'/ }"
  say "installing into .venv with Python $version; $note"
}

# After a probe of .venv.
install_requirements() {
  python=$venv/bin/python
  # Its own environment must not lean on packages that PYTHONPATH happens to show today.
  if ! is_shared; then
    unset PYTHONPATH
  else
    # pip takes an installed torch==2.11.0+cu130 for this even where no index has that build; a missing torchvision
    # follows, since each of its releases names the one torch it fits.
    printf '%s' "$held" >"$venv/constraints.txt"
    pip_arguments+=(-c "$venv/constraints.txt")
  fi
  rm -f "$venv/.stamp"
  : >"$venv/.unfinished"
  [[ $tools == *" pip "* ]] || run_child "$python" -P -m ensurepip || true
  if ! PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 run_child "$python" -P -m pip "${pip_arguments[@]}"; then
    # pip ended by itself: an environment that worked before is kept for the next try, a new one is not worth its bytes.
    rm -f "$venv/.unfinished"
    [[ -z $made_now ]] || rm -rf "$venv"
    fail 3 "pip could not install ${requirement_files[*]##*/} into $venv; the reason is above"
  fi
  rm -f "$venv/.unfinished"
  write_stamp "$venv/.stamp" "$(venv_key)" || fail 3 "cannot write $venv/.stamp"
}

# Cases b and c, and an existing .venv whose requirements changed.
use_venv() {
  if [[ -z $runs ]] && probe "$venv/bin/python"; then runs=$venv/bin/python; fi
  [[ -n $runs ]] || { find_base && runs=$base; }
  trap 'interrupted 130' INT
  trap 'interrupted 143' TERM
  trap 'interrupted 129' HUP
  { exec 9>"$here/.venv.lock"; } 2>/dev/null || fail 3 "cannot write $here/.venv.lock"
  run_child "$runs" -I -c "$LOCK" || fail 3 "could not lock $here/.venv.lock"
  if ! stamp_holds "$venv/.stamp" "$(venv_key)"; then # or another run.sh did it all while this one waited
    # .unfinished: an interrupted pip can leave half a package that the next pip takes for a whole one.
    if [[ ! -e $venv/.unfinished ]] && probe "$venv/bin/python"; then
      say "bringing .venv (Python $version) up to date"
    else
      create_venv
    fi
    install_requirements
  fi
  exec 9>&-
  trap - INT TERM HUP
}

# check NAME MODULE [ARGUMENTS]
check() {
  local code=0
  printf '== %s\n' "$1"
  "$python" -P -m "${@:2}" || code=$?
  ((code == 0)) || say "failed: $1 (exit code $code)"
  ((first_failure != 0)) || first_failure=$code
}

stamp_holds "$active_stamp" "$active_key" || stamp_holds "$venv/.stamp" "$(venv_key)" || use_active || use_venv
[[ $python != "$venv/bin/python" ]] || is_shared || unset PYTHONPATH

# -P keeps the current folder off the module path and PYTHONPATH puts this one first, also in processes the pipeline
# starts. exec: signals reach the pipeline, its exit code is the answer. glibc reads its tunables at start only; huge
# pages for the tensors of each step save their page faults: training on a CPU 10 to 30 % faster.
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}
# Threads of OpenMP sleep while they wait. By default they spin: beside another busy process a step then took two to
# three times as long.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY-passive}
if [[ ${1-} == test ]]; then
  shift
  cd -- "$here"
  # All of them run, so that one start shows everything there is to mend; pytest is last, its summary ends the output.
  first_failure=0
  check "ruff check" ruff check
  check "ruff format --check" ruff format --check
  check "basedpyright" basedpyright --pythonpath "$python"
  # two at a time, as many as CI has cores; worksteal evens out what some tests take
  check "pytest" pytest --rootdir "$here" -n 2 --dist worksteal "$@"
  exit "$first_failure"
fi
exec "$python" -P -m pipeline "$@"

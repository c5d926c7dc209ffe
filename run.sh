#!/usr/bin/env bash
# Makes the Python environment if it must, then runs the pipeline:  ./run.sh [arguments of the pipeline]
#                                                                   ./run.sh test [arguments of pytest]
# The environment is the first of these that works:
#   a. the active Python, when it has all that requirements.txt names (Kaggle, Colab, a venv of your own);
#   b. .venv on top of the active Python, when only its torch fits: its torch, torchvision and numpy are kept;
#   c. .venv on its own, with the newest Python found.
# A stamp records the choice, so the next start costs a few milliseconds. To choose again: rm -r .venv .venv.stamp
# Written for bash 3.2 and without flock, readlink -f or sha256sum, because macOS has none of the newer ones.
set -euo pipefail

say() { printf 'run.sh: %s\n' "$*" >&2; }
fail() {
  local code=$1
  shift
  say "$*"
  exit "$code"
}

# With stdin closed the first file that anybody opens would become "stdin".
{ : 3<&0; } 2>/dev/null || exec </dev/null

script=${BASH_SOURCE[0]}
while [[ -L $script ]]; do
  target=$(readlink "$script")
  [[ $target == /* || $script != */* ]] || target=${script%/*}/$target
  script=$target
done
[[ $script == */* ]] || script=./$script
here=$(CDPATH='' cd -P -- "${script%/*}/" && pwd -P)
[[ $here != *:* ]] || fail 2 "the path of this folder must not contain ':' (Python separates folders by it): $here"

venv=$here/.venv
active_stamp=$here/.venv.stamp
requirement_files=("$here/requirements.txt")
[[ ${1-} != test ]] || requirement_files+=("$here/requirements-test.txt")

# A stamp holds the requirements themselves, not their digest: comparing needs no other program. The end marks make the
# key of a plain start a part of the key of `test`, so that an environment made for `test` serves both.
requirements=
for file in "${requirement_files[@]}"; do
  requirements+=$(<"$file")$'\n# end of file\n'
done

# Inside an activated .venv the Python below it is meant, never .venv itself.
search_path=:$PATH:
search_path=${search_path//":$venv/bin:"/:}
search_path=${search_path#:}
search_path=${search_path%:}

in_path() {
  local PATH=$search_path
  type -P "$1"
}

is_shared() { [[ -r $venv/pyvenv.cfg && $(<"$venv/pyvenv.cfg") == *"include-system-site-packages = true"* ]]; }

active_key() {
  printf 'active: %s, %s, %s, %s\n%s' \
    "$(in_path python3 || true)" "$(in_path python || true)" "${PYENV_VERSION-}" "${PYTHONPATH-}" "$requirements"
}

venv_key() {
  local seen=
  ! is_shared || seen=${PYTHONPATH-}
  printf 'venv: %s, %s\n%s' "$venv" "$seen" "$requirements"
}

# stamp_holds STAMP KEY: sets python. A package folder newer than the stamp means that somebody installed or removed
# something since; built-in tests only, for this is the path of every start.
stamp_holds() {
  local stamp=$1 key=$2 line chosen=
  [[ -r $stamp && $(<"$stamp") == *"$key"* ]] || return 1
  while IFS= read -r line; do
    case $line in
      python=*) chosen=${line#python=} ;;
      site=*) [[ ! ${line#site=} -nt $stamp ]] || return 1 ;;
      *) break ;;
    esac
  done <"$stamp"
  [[ -x $chosen ]] || return 1
  python=$chosen
}

# write_stamp STAMP KEY: for $python and the package folders that were probed; whole or not at all.
write_stamp() {
  { printf 'python=%s\n%s%s\n' "$python" "$sites" "$2" >"$1.$$" && mv -f "$1.$$" "$1"; } 2>/dev/null
}

# One process per candidate answers everything. Any Python must be able to parse it. No single quotes: bash has it in
# them. PYTHONPATH and the user's packages count (HPC modules); the current folder does not.
PROBE='
import sys
sys.path = [entry for entry in sys.path if entry]
print("version=%d.%d.%d" % sys.version_info[:3])
if sys.version_info < (3, 11):
    sys.exit()
import importlib.metadata, importlib.util, os, site
print("executable=" + sys.executable)
if sys.prefix != sys.base_prefix:
    print("inside=venv")
for tool in ("venv", "ensurepip", "pip"):
    if importlib.util.find_spec(tool):
        print("tool=" + tool)
users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
for folder in dict.fromkeys(sys.path + site.getsitepackages() + users):
    if os.path.basename(folder) in ("site-packages", "dist-packages"):
        print("site=" + folder)
try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
satisfied = "yes"
for path in sys.argv[1:]:
    for line in open(path, encoding="utf-8"):
        text = line.partition(" #")[0].strip()
        if not text or text[0] in "#-":
            continue
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate():
            continue
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
  local line
  version='' executable='' inside='' tools=' ' sites='' held='' satisfied=''
  while IFS= read -r line; do
    case $line in
      version=*) version=${line#*=} ;;
      executable=*) executable=${line#*=} ;;
      inside=*) inside=${line#*=} ;;
      tool=*) tools+="${line#*=} " ;;
      site=*) sites+=$line$'\n' ;;
      held=*) held+=${line#*=}$'\n' ;;
      satisfied=*) satisfied=${line#*=} ;;
    esac
  done < <("$1" -c "$PROBE" "${requirement_files[@]}" 2>/dev/null </dev/null)
  [[ -n $executable ]]
}

# Case a; on the way, the base of case b is remembered, and a Python that runs.
runs='' base='' base_is_shared='' base_has_pip='' base_inside='' base_sites=''
use_active() {
  local name path
  for name in python3 python; do
    if ! path=$(in_path "$name") || ! probe "$path"; then continue; fi
    runs=$path
    if [[ $satisfied == yes ]]; then
      python=$executable
      # A folder that cannot be written (/kaggle/input) only costs the next start this check.
      write_stamp "$active_stamp" "$(active_key)" || true
      return 0
    fi
    if [[ -z $base && $'\n'$held == *$'\n'torch==* && $tools == *" venv "* && $tools == *pip* ]]; then
      base=$path base_is_shared=yes base_inside=$inside base_sites=$sites
      # Colab and bare Debian have pip but no ensurepip; the pip below is visible from .venv and installs into it.
      [[ $tools != *" pip "* ]] || base_has_pip=yes
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
    if [[ -n $executable ]]; then
      found+=", $name $version without venv and ensurepip (Debian, Ubuntu: apt install python3-venv)"
    else
      found+=", $name ${version:-that does not run}"
    fi
  done
  found=${found#, }
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
  if [[ -n $child ]]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
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

# .unfinished: an interrupted pip can leave half a package that the next pip takes for a whole one.
venv_is_usable() { [[ ! -e $venv/.unfinished && -x $venv/bin/python ]] && probe "$venv/bin/python"; }

create_venv() {
  local options=() packages line
  [[ ! -e $venv ]] || say ".venv is half made, older than Python 3.11 or does not run: making it again"
  rm -rf "$venv"
  { mkdir "$venv" && : >"$venv/.unfinished"; } 2>/dev/null || fail 3 "cannot write $venv"
  [[ -z $base_is_shared ]] || options+=(--system-site-packages)
  [[ -z $base_has_pip ]] || options+=(--without-pip)
  if ! run_child "$base" -P -m venv ${options[@]+"${options[@]}"} "$venv"; then
    rm -rf "$venv"
    fail 3 "could not make $venv with $base; the reason is above"
  fi
  # A venv made from a venv sees the packages of the Python below both, not those of the one it was made from.
  if [[ -n $base_is_shared && $base_inside == venv ]]; then
    packages=("$venv"/lib/python3.*/site-packages)
    while IFS= read -r line; do
      printf '%s\n' "${line#site=}"
    done <<<"${base_sites%$'\n'}" >"${packages[0]}/active_python.pth"
  fi
}

# After a probe of .venv.
install_requirements() {
  local made_now=$1 file arguments=(install --quiet --no-input)
  python=$venv/bin/python
  for file in "${requirement_files[@]}"; do
    arguments+=(-r "$file")
  done
  # Its own environment must not lean on packages that PYTHONPATH happens to show today.
  if ! is_shared; then
    unset PYTHONPATH
  else
    # pip takes an installed torch==2.11.0+cu130 for this even where no index has that build; a missing torchvision
    # follows, since each of its releases names the one torch it fits.
    printf '%s' "$held" >"$venv/constraints.txt"
    arguments+=(-c "$venv/constraints.txt")
  fi
  rm -f "$venv/.stamp"
  : >"$venv/.unfinished"
  [[ $tools == *" pip "* ]] || run_child "$python" -P -m ensurepip || true
  if ! PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 run_child "$python" -P -m pip "${arguments[@]}"; then
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
  local made_now=''
  if [[ -z $runs ]] && venv_is_usable; then runs=$venv/bin/python; fi
  [[ -n $runs ]] || { find_base && runs=$base; }
  trap 'interrupted 130' INT
  trap 'interrupted 143' TERM
  trap 'interrupted 129' HUP
  { exec 9>"$here/.venv.lock"; } 2>/dev/null || fail 3 "cannot write $here/.venv.lock"
  run_child "$runs" -I -c "$LOCK" || fail 3 "could not lock $here/.venv.lock"
  # Another run.sh may have done it all while this one waited.
  if ! stamp_holds "$venv/.stamp" "$(venv_key)"; then
    if venv_is_usable; then
      say "bringing .venv (Python $version) up to date"
    else
      [[ -n $base ]] || find_base
      made_now=yes
      create_venv
      probe "$venv/bin/python" || fail 3 "$venv/bin/python does not run"
      if is_shared; then
        say "installing into .venv what $base lacks; kept as they are: ${held//$'\n'/ }"
      else
        say "installing into .venv with Python $version (about 6 GB, a few minutes)"
      fi
    fi
    install_requirements "$made_now"
  fi
  exec 9>&-
  trap - INT TERM HUP
}

run_tool() {
  local name=$1 code=0
  shift
  printf '== %s\n' "$name"
  "$@" || code=$?
  ((code == 0)) || say "failed: $name (exit code $code)"
  ((first_failure != 0)) || first_failure=$code
}

# All of them run, so that one start shows everything there is to mend; pytest is last, its summary ends the output.
run_tests() {
  local first_failure=0
  cd -- "$here"
  run_tool "ruff check" "$python" -P -m ruff check
  run_tool "ruff format --check" "$python" -P -m ruff format --check
  run_tool "basedpyright" "$python" -P -m basedpyright --pythonpath "$python"
  if ((first_failure == 0)); then
    printf '== pytest\n'
    exec "$python" -P -m pytest --rootdir "$here" "$@"
  fi
  run_tool "pytest" "$python" -P -m pytest --rootdir "$here" "$@"
  exit "$first_failure"
}

python=
stamp_holds "$active_stamp" "$(active_key)" || stamp_holds "$venv/.stamp" "$(venv_key)" || use_active || use_venv
[[ $python != "$venv/bin/python" ]] || is_shared || unset PYTHONPATH

# -P keeps the current folder off the module path and PYTHONPATH puts this one first, also in processes the pipeline
# starts. exec: signals reach the pipeline, its exit code is the answer.
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
if [[ ${1-} == test ]]; then
  shift
  run_tests "$@"
fi
exec "$python" -P -m pipeline "$@"

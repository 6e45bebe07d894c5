#!/usr/bin/env bash
# Everything that must hold before a change lands: formatter, linter, layers, types, tests with coverage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'TEXT'
Usage: ./ci.sh [--full]

  --full   also run the tests marked slow, and measure the coverage of the processes that tests start

Makes .venv-ci from requirements-dev.lock, and an environment from each tests/clients/*.lock (reused while the locks
stay the same). Run as root it also installs
the Debian packages that the tests use, if they are missing; otherwise the tests that need them are skipped.
TEXT
}

say() { printf '\n== %s\n' "$*"; }

# Debian package and the program by which it is known.
system_packages() {
    local pair missing=()
    for pair in git:git chromium:chromium prometheus:promtool nginx-light:nginx caddy:caddy haproxy:haproxy zsh:zsh fish:fish; do
        command -v "${pair#*:}" >/dev/null || missing+=("${pair%:*}")
    done
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "missing: ${missing[*]}; tests that need them are skipped (Debian, Ubuntu: apt install ${missing[*]})"
        return
    fi
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "${missing[@]}" >/dev/null
}

installer() { PYTHONPATH=$PWD "${PYTHON:-python3}" -P -m installer "$@"; }

# From nothing whenever the lock changes: the tests prove that what is not in it is not needed.
environment() {
    installer make .venv-ci requirements-dev.lock --project . --fresh
}

# Programs of other projects whose dependencies clash with ours and with each other, each in an environment of its own.
clients() {
    local name
    for name in tritons kserves manifests; do
        installer make ".venv-$name" "tests/clients/$name.lock" --fresh ||
            say ".venv-$name could not be made; the tests that need it are skipped"
    done
}

# Tests write a lot and wait for the disk each time: they do it in memory if there is room.
scratch() {
    local memory=/dev/shm
    if [ ! -w "$memory" ] || [ "$(df --output=avail --block-size=1M "$memory" | tail -n 1)" -lt 4096 ] ||
        grep -q " $memory [^ ]* [^ ]*noexec" /proc/mounts; then
        return
    fi
    TMPDIR=$(mktemp --directory "$memory/retraind-ci.XXXXXX")
    export TMPDIR
    chmod 1777 "$TMPDIR" # as /tmp: some tests act as other users
    trap 'rm -rf "$TMPDIR"' EXIT
}

# Twice as many as there are cores, because tests wait; more than four services at once would wait for each other.
workers() {
    local count=$(($(nproc) * 2))
    echo $((count < 4 ? count : 4))
}

selection=(-m "not slow")
case ${1:-} in
    "") ;;
    --full)
        selection=()
        export MEASURE=processes
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac

# Packages are compiled when a test first imports them: a quarter of them ever is.
unset PYTHONDONTWRITEBYTECODE
system_packages &
packages=$!
environment
clients & # beside the checks that need one core
clients=$!
export PATH="$PWD/.venv-ci/bin:$PATH"

say "formatter"
ruff format --check .
say "linter"
ruff check .
say "layers"
lint-imports
wait "$packages"
wait "$clients"
say "types and tests"
mypy >.venv-ci/types.log 2>&1 &
types=$!
scratch
coverage erase
failed=0
# By modules side by side, in forks of one process (tests/forked_workers.py): three that import and collect cost a CPU minute.
coverage run -m pytest --workers="$(workers)" ${selection[@]+"${selection[@]}"} | tee .venv-ci/tests.log || failed=1
wait "$types" || failed=1
cat .venv-ci/types.log
[ "$failed" -eq 0 ] || exit 1
say "coverage"
coverage combine --quiet
coverage report
tail -n 1 .venv-ci/tests.log

#!/usr/bin/env bash
# Installs and starts retraind: ./deploy.sh help
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${RETRAIND_HOME:-$root}

say() { printf 'deploy: %s\n' "$*" >&2; }
die() { say "$1"; exit "${2:-1}"; }

usage() {
    cat <<'TEXT'
Usage: ./deploy.sh COMMAND

  local [-- FLAGS]  make .venv and run the daemon in the foreground; FLAGS go to `retraind run`
  docker            build the image, replace the container, roll back if it does not become ready
  systemd [ROLE]    (as root) install to /opt/retraind, state in /var/lib/retraind, start the unit.
                    ROLE: `single` (default), `leader`, `standby` or `node`; a later run without ROLE keeps it
  help              this text

Environment:
  PYTHON            interpreter to use (default: the first of python3, python3.14 … python3.11 that is new enough)
  RETRAIND_HOME     home folder of `local` and `docker` (default: this folder)
  RETRAIND_BASE     base image of `docker` (default: the one that Dockerfile names)
  RETRAIND_PUBLISH  ADDRESS:PORT where `docker` publishes the service (default: 127.0.0.1:5000)
  RETRAIND_EXTRAS   packages for a PostgreSQL server, an object store, Apprise and Dask: postgres,s3,notify,dask (default: those that the settings need)
  RETRAIND_INSTALLER  `uv` (default; pip follows where uv cannot be had or fails) or `pip`

Each command is safe to repeat. docs/operations.md has the rest.
TEXT
}

# ---------------------------------------------------------------- the environment

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    die "Python 3.11 or newer is needed and ${PYTHON:-python3} is not. Install it (Debian, Ubuntu: apt install python3 python3-venv) or name one: PYTHON=/path/to/python3 ./deploy.sh …"
}

require_tools() {
    command -v git >/dev/null || die "git is needed: the data folder is a git repository. Install it (Debian, Ubuntu: apt install git)."
    python=$(find_python)
    "$python" -P -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python has no venv module. Install it (Debian, Ubuntu: apt install python3-venv)."
}

installer() { PYTHONPATH=$root "$python" -P -m installer "$@"; }

# needed_extras HOME FLAGS…: those of $RETRAIND_EXTRAS, or those that the settings of HOME need.
needed_extras() {
    if [ -n "${RETRAIND_EXTRAS+set}" ]; then printf '%s\n' "$RETRAIND_EXTRAS"; else installer extras "$@"; fi
}

# make_environment VENV SOURCE EXTRAS FLAGS…: the packages of SOURCE's locks, and SOURCE itself in place. What pip is configured with applies.
# Estimators of other packages, for train.candidates, are named in packages.txt: beside the settings, beside the Dockerfile, or in /etc/retraind.
make_environment() {
    local venv=$1 source=$2 extras=$3
    shift 3
    installer make "$venv" "$source/requirements.lock" --extras "$extras" --project "$source" --with "${RETRAIND_INSTALLER:-uv}" "$@"
}

# await_ready SECONDS COMMAND…: repeat COMMAND about once a second until it succeeds.
await_ready() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then return 1; fi
        sleep 1
    done
}

# The request a readiness check makes, for any Python: no curl on slim machines.
probe='import sys, urllib.request; urllib.request.urlopen(f"http://{sys.argv[1]}/readyz", timeout=4)'

# ---------------------------------------------------------------- local

announced_port() {
    local port=${RETRAIND_SERVER__PORT:-5000}
    while [ $# -gt 0 ]; do
        case $1 in
            --port) port=${2:-$port} ;;
            --port=*) port=${1#--port=} ;;
        esac
        shift
    done
    printf '%s\n' "$port"
}

deploy_local() {
    local extras
    if [ "${1:-}" = "--" ]; then shift; fi
    require_tools
    say "the dashboard will be at http://127.0.0.1:$(announced_port "$@")/dashboard (stop with Ctrl-C)."
    # Packages are compiled when they are first imported: a quarter of them ever is.
    unset PYTHONDONTWRITEBYTECODE
    extras=$(needed_extras "$home")
    make_environment "$root/.venv" "$root" "$extras" --packages "$home/packages.txt"
    unset RETRAIND_BASE RETRAIND_EXTRAS RETRAIND_PUBLISH RETRAIND_INSTALLER # the daemon refuses variables that it does not know
    exec "$root/.venv/bin/retraind" run --home "$home" "$@"
}

# ---------------------------------------------------------------- docker

find_engine() {
    local name
    for name in docker podman; do
        if command -v "$name" >/dev/null && "$name" info >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
    die "neither docker nor podman answers. Install one of them and start it (docker: is the service running, and may you use it?)."
}

# start_container IMAGE: stop, remove, run.
start_container() {
    local image=$1 folder
    local -a options=()
    "$engine" stop --time 60 retraind >/dev/null 2>&1 || true
    "$engine" rm --force retraind >/dev/null 2>&1 || true
    for folder in inbox outbox data registry logs; do
        mkdir -p "$home/$folder"
        options+=(--volume "$home/$folder:/var/lib/retraind/$folder")
    done
    if [ -f "$home/retraind.toml" ]; then
        options+=(--volume "$home/retraind.toml:/var/lib/retraind/retraind.toml:ro")
    fi
    # PGPASSWORD, the keys of the store, and settings as variables.
    if [ -f "$home/environment" ]; then options+=(--env-file "$home/environment"); fi
    # The files below the home stay the property of whoever deploys; root hands them to the image's own user.
    if [ "$(id -u)" -eq 0 ]; then
        chown -R 10001:10001 "$home"/{outbox,data,registry,logs}
        # Others may write to the inbox, so only folders are handed over. A group that it was given stays: it may drop files.
        if [ "$(stat -L -c %u "$home/inbox")" != 10001 ]; then chown 10001:10001 "$home/inbox"; fi
        if [ -d "$home/inbox/rejected" ] && [ ! -L "$home/inbox/rejected" ]; then chown -R 10001 "$home/inbox/rejected"; fi
        chmod u=rwx,g=rwxs,o=,+t "$home/inbox"
    else
        options+=(--user "$(id -u):$(id -g)")
        if [ "$engine" = podman ]; then options+=(--userns keep-id); fi
    fi
    # A first process that reaps whatever is left to it and passes signals on. Podman has it as a package of its own.
    if [ "$engine" = docker ] || command -v catatonit >/dev/null || [ -x /usr/libexec/podman/catatonit ]; then options+=(--init); fi
    "$engine" run --detach --name retraind --restart unless-stopped \
        --publish "$publish:5000" "${options[@]}" \
        --read-only --tmpfs /tmp:rw,size=1g --cap-drop ALL --security-opt no-new-privileges "$image" >/dev/null
}

container_ready() { "$engine" exec retraind python -P -c "$probe" 127.0.0.1:5000; }

roll_back() {
    "$engine" logs --tail 40 retraind >&2 || true
    if [ -z "$previous" ]; then die "the container did not become ready in 120 s, and there is no earlier image to return to."; fi
    say "the container did not become ready in 120 s; returning to the image before."
    start_container retraind:previous
    await_ready 120 container_ready || die "the image before does not become ready either; see: $engine logs retraind"
    "$engine" tag retraind:previous retraind:latest
    die "rolled back; http://$publish/dashboard is served by the image before."
}

deploy_docker() {
    local previous
    engine=$(find_engine)
    publish=${RETRAIND_PUBLISH:-127.0.0.1:5000}
    local -a options=(--build-arg "REVISION=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)")
    if [ -n "${RETRAIND_BASE:-}" ]; then options+=(--build-arg "BASE=$RETRAIND_BASE"); fi
    if [ -n "${RETRAIND_EXTRAS+set}" ]; then options+=(--build-arg "EXTRAS=$RETRAIND_EXTRAS"); fi
    if [ -n "${PIP_CONFIG_FILE:-}" ]; then options+=(--secret "id=pip,src=$PIP_CONFIG_FILE"); fi
    # Podman's own image format has no health check.
    if [ "$engine" = podman ]; then options+=(--format docker); fi
    previous=$("$engine" inspect --format '{{.Image}}' retraind 2>/dev/null || true)
    "$engine" build "${options[@]}" --tag retraind:candidate "$root"
    if [ -n "$previous" ]; then "$engine" tag "$previous" retraind:previous; fi
    start_container retraind:candidate
    await_ready 120 container_ready || roll_back
    "$engine" tag retraind:candidate retraind:latest
    say "ready: http://$publish/dashboard; the token to sign in with: $engine exec retraind retraind token"
}

# ---------------------------------------------------------------- systemd

prefix=/opt/retraind
state=/var/lib/retraind

# Replaces the code by renaming: a process that is still running keeps the files it has open.
install_code() {
    rm -rf "$prefix/app.new" "$prefix/app.old"
    mkdir -p "$prefix/app.new"
    cp -R "$root"/{daemon,web,retraind,pyproject.toml,hatch_build.py,requirements*.lock,README.md,LICENSE} "$prefix/app.new"
    "$python" -P "$root/retraind/release.py" >"$prefix/app.new/retraind/commit.txt"
    if [ -d "$prefix/app" ]; then mv "$prefix/app" "$prefix/app.old"; fi
    mv "$prefix/app.new" "$prefix/app"
    rm -rf "$prefix/app.old"
}

unit_ready() { "$python" -P -c "$probe" "$(unit_address)"; }

unit_address() {
    local address
    address=$(sed -n 's/^ *RETRAIND_SERVER__PORT=//p' /etc/retraind/environment 2>/dev/null | tail -n 1)
    printf '127.0.0.1:%s\n' "${address:-5000}"
}

# install_unit ROLE: the unit, and what makes it a leader with a standby, or a node. Without ROLE that stays as it is.
install_unit() {
    local role=$1 folder=/etc/systemd/system/retraind.service.d
    install -D -m 0644 "$root/systemd/retraind.service" /etc/systemd/system/retraind.service
    install -d -m 0755 "$folder"
    case $role in
        "") ;;
        single) rm -f "$folder/role.conf" ;;
        # The same on both machines: whoever starts first leads, the other one waits.
        leader | standby) install -m 0644 "$root/systemd/leader.conf" "$folder/role.conf" ;;
        node) install -m 0644 "$root/systemd/node.conf" "$folder/role.conf" ;;
    esac
    systemctl daemon-reload
    systemctl enable --quiet retraind
}

not_started() {
    journalctl --unit retraind --no-pager --lines 40 >&2
    die "$1"
}

deploy_systemd() {
    local role=${1:-} venv extras
    case $role in
        "" | single | leader | standby | node) ;;
        *) die "there is no role '$role': write single, leader, standby or node." 2 ;;
    esac
    [ "$(id -u)" -eq 0 ] || die "installing the unit needs root: sudo ./deploy.sh systemd"
    [ -d /run/systemd/system ] || die "systemd does not run this machine; use ./deploy.sh local or docker."
    require_tools
    getent passwd retraind >/dev/null || useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin retraind
    # Passwords and keys: nobody but root reads it, and systemd passes it on.
    if [ ! -e /etc/retraind/environment ]; then install -D -m 0600 "$root/systemd/environment" /etc/retraind/environment; fi
    extras=$(needed_extras "$state" --environment /etc/retraind/environment)
    case $role in
        leader | standby | node)
            [[ "$extras" == *postgres,s3 ]] || die "a $role needs journal.url and storage.url: write them, and the password and keys, into /etc/retraind/environment, then run this again."
            ;;
    esac
    install_code
    # One environment per lock: the running daemon keeps its own until the restart.
    local -a packages=(--packages /etc/retraind/packages.txt)
    venv=$prefix/venv-$(installer stamp "$prefix/app/requirements.lock" --extras "$extras" --project "$prefix/app" "${packages[@]}" | cut -c 1-12)
    # The unit's user cannot write there, so nothing would be compiled later.
    make_environment "$venv" "$prefix/app" "$extras" --compile "${packages[@]}"
    "$venv/bin/python" -P -m compileall -q "$prefix"/app/{daemon,web,retraind}
    ln -sfn "$venv" "$prefix/venv"
    ln -sfn "$prefix/venv/bin/retraind" /usr/local/bin/retraind
    # Members of the group retraind may drop files and read the reports; what others have dropped they can't take away.
    install -d -o retraind -g retraind -m 0750 "$state"
    install -d -o retraind -g retraind -m 3770 "$state/inbox" "$state/inbox/predict"
    install_unit "$role"
    systemctl restart retraind || not_started "the unit does not start."
    await_ready 120 unit_ready || not_started "not ready in 120 s."
    find "$prefix" -maxdepth 1 -name 'venv-*' ! -path "$venv" -exec rm -rf {} +
    say "ready: http://$(unit_address)/dashboard; drop files into $state/inbox"
}

case ${1:-help} in
    local | docker | systemd)
        command=$1
        shift
        "deploy_$command" "$@"
        ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        die "there is no command '$1'." 2
        ;;
esac

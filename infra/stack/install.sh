#!/bin/sh
# Installs what the project needs and does not have yet:
#
#   sh infra/stack/install.sh runtime|dev    .venv from the hashed lock file
#   sh infra/stack/install.sh litestream     Litestream, likewise
#   sh infra/stack/install.sh redis          redis-server, by the system's package manager
#   sh infra/stack/install.sh postgres       PostgreSQL's programs, for the tests
#   sh infra/stack/install.sh node           Node.js and npm, for the tests
#   sh infra/stack/install.sh tools          the nats command line tool
#
# POSIX sh, so that it runs on a fresh Debian, Fedora or macOS alike.
set -eu

VENV=${VENV:-.venv}
# The version that the README's commands and `make trace` were tested with.
NATS_CLI=v0.4.0

log() { printf '%s\n' "$*" >&2; }

# Run as root: directly, or by sudo, which may ask for a password in a terminal only.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif ! command -v sudo >/dev/null 2>&1; then return 1
    elif [ -t 0 ]; then sudo "$@"
    else sudo -n "$@"
    fi
}

apt_install() {
    # The package lists of a new machine are empty; after a failed update they may still be usable.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    log "Python 3.11 or newer is needed, and none was found."
    log "Install one (apt-get install python3, brew install python), or name it: make PYTHON=/path/to/python3"
    return 1
}

make_venv() {
    [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && return
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian and Ubuntu ship it apart from python3.
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if ! command -v apt-get >/dev/null 2>&1 || ! apt_install "python$version-venv"; then
            log "Python's venv module is missing. Install it, then try again: apt-get install python$version-venv"
            return 1
        fi
    fi
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
}

install_lock() {
    make_venv
    log "Installing infra/requirements/$1.txt into $VENV ..."
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes -r "infra/requirements/$1.txt" >&2
    touch "$VENV/.installed-$1"
}

# Never fails: the stack also runs without Redis, with fewer features.
install_redis() {
    command -v redis-server >/dev/null 2>&1 && return
    [ -n "${REDIS_URL:-}" ] && return
    log "Installing redis-server ..."
    if command -v apt-get >/dev/null 2>&1; then
        apt_install redis-server && stop_system_redis || true
    elif command -v dnf >/dev/null 2>&1; then
        as_root dnf install -y -q redis >&2 || true
    elif command -v brew >/dev/null 2>&1; then
        brew install --quiet redis >&2 || true
    fi
    command -v redis-server >/dev/null 2>&1 && return
    log "redis-server could not be installed. The stack runs without it; nothing needs it."
}

# Debian starts the service that it installs, on the port of the stack's own Redis. It is a moment old,
# so nothing depends on it.
stop_system_redis() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now redis-server >/dev/null 2>&1
    else
        as_root service redis-server stop >/dev/null 2>&1
    fi
}

# In a module that pins the version: `go install ...@version` also requests the list of all versions,
# which some module proxies do not serve.
build_nats() {
    mkdir -p "$VENV/bin"
    target=$(cd "$VENV/bin" && pwd)/nats
    folder=$(mktemp -d)
    status=0
    (
        cd "$folder" &&
            go mod init tools &&
            go get "github.com/nats-io/natscli@$NATS_CLI" &&
            go build -mod=mod -o "$target" github.com/nats-io/natscli/nats
    ) || status=$?
    rm -rf "$folder"
    return $status
}

# For the tests that run the services on PostgreSQL, on a server that the tests start.
install_postgres() {
    if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
        return
    fi
    log "Installing PostgreSQL for the tests ..."
    if command -v apt-get >/dev/null 2>&1; then
        # Without this file, Debian creates a database cluster and starts it.
        as_root mkdir -p /etc/postgresql-common/createcluster.d &&
            echo "create_main_cluster = false" |
            as_root tee /etc/postgresql-common/createcluster.d/shop-saga.conf >/dev/null
        apt_install postgresql || true
    elif command -v dnf >/dev/null 2>&1; then
        as_root dnf install -y -q postgresql-server >&2 || true
    elif command -v brew >/dev/null 2>&1; then
        brew install --quiet postgresql >&2 || true
    fi
    command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
        log "PostgreSQL could not be installed: the tests on it are skipped."
}

# For the test of a client in TypeScript.
install_node() {
    command -v npm >/dev/null 2>&1 && return
    log "Installing Node.js and npm for the tests ..."
    if command -v apt-get >/dev/null 2>&1; then
        apt_install nodejs npm || true
    elif command -v dnf >/dev/null 2>&1; then
        as_root dnf install -y -q nodejs npm >&2 || true
    elif command -v brew >/dev/null 2>&1; then
        brew install --quiet node >&2 || true
    fi
    command -v npm >/dev/null 2>&1 || log "Node.js could not be installed: the test that needs it is skipped."
}

# Never fails: the tool is optional.
install_tools() {
    if command -v nats >/dev/null 2>&1 || [ -x "$VENV/bin/nats" ]; then
        log "The nats tool is there already."
        return
    fi
    if command -v go >/dev/null 2>&1; then
        log "Building the nats tool with Go, which takes a minute or two ..."
        if build_nats >&2; then
            log "Installed $VENV/bin/nats."
            return
        fi
        log "Go could not build it (see above)."
    fi
    log "The nats tool is optional. To have it: brew install nats-io/nats-tools/nats, or take it from"
    log "the releases of github.com/nats-io/natscli and put it on your PATH. make trace works without."
}

case "${1:-}" in
    runtime | dev | litestream) install_lock "$1" ;;
    redis) install_redis ;;
    postgres) install_postgres ;;
    node) install_node ;;
    tools) install_tools ;;
    *) log "usage: sh infra/stack/install.sh runtime|dev|litestream|redis|postgres|node|tools"; exit 2 ;;
esac

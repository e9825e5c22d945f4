#!/bin/sh
# Installs the peers into .bench, from hashed lock files. Restate's server comes from npm: without
# Node.js the comparison leaves Restate out, and says so.
set -eu

PYTHON=${VENV:-.venv}/bin/python
here=$(dirname "$0")
stamp=.bench/.installed

[ -f $stamp ] && [ $stamp -nt "$here/requirements.txt" ] && [ $stamp -nt "$here/package-lock.json" ] && exit
echo "Installing the peers into .bench ..." >&2
"$PYTHON" -m venv .bench/venv
.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
    -r "$here/requirements.txt" >&2
if command -v npm >/dev/null 2>&1; then
    cp "$here/package.json" "$here/package-lock.json" .bench/
    (cd .bench && npm ci --silent --ignore-scripts --no-audit --no-fund >&2) || echo "npm could not install Restate's server." >&2
else
    echo "npm was not found: Restate is left out." >&2
fi
touch $stamp

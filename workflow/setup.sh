#!/bin/sh
# Make .venv from requirements.lock: with uv when it is there, with venv and pip when not.
set -eu
python=${PYTHON:-python3}
version='import sys; print("%d.%d" % sys.version_info[:2])'
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found=$("$python" -c "$version" 2>/dev/null || echo none)
    echo "Python 3.11 or newer is needed, $python is $found. Name another one: make PYTHON=python3.12 ..." >&2
    exit 1
fi
start=$(date +%s)
echo "set-up: installing the packages of requirements.lock into .venv (about a minute with pip) ..."
rm -rf .venv
if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --python "$python" .venv
    uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock
    uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
else
    "$python" -m venv .venv
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
touch .venv/ready
echo "set-up: done in $(($(date +%s) - start)) s"

#!/usr/bin/env bash
# Makes or refreshes the virtual environment: the package in editable form, and the dev group.
#
#   scripts/venv.sh DIRECTORY    PYTHON names the interpreter (default python3)
set -euo pipefail

PYTHON=${PYTHON:-python3}
venv=$1

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Chancery needs Python 3.11 or newer, and $PYTHON is $("$PYTHON" -V 2>&1)." >&2
    echo "Name another one: make PYTHON=/path/to/python3.11 ..." >&2
    exit 2
fi
[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
"$venv/bin/python" -m pip install -q --upgrade 'pip>=25.1' # the first that knows --group
"$venv/bin/python" -m pip install -q -e . --group dev

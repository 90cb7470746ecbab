#!/usr/bin/env bash
# Installs the Debian packages that a make target needs: only those whose program or file is missing.
#
#   scripts/apt.sh GROUP...      groups: python, run, test, bench
#
# As root it installs. Otherwise it prints the exact command and exits with 2, having changed nothing.
# PYTHON names the interpreter to judge (default python3).
set -euo pipefail

PYTHON=${PYTHON:-python3}
missing=()

need_program() { # program package
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

need_file() { # glob package
    compgen -G "$1" >/dev/null || missing+=("$2")
}

venv_package() { # the package that gives $PYTHON its ensurepip
    case $(basename "$PYTHON") in
        python3.[0-9]*) echo "$(basename "$PYTHON")-venv" ;;
        *) echo python3-venv ;;
    esac
}

collect() { # group
    case $1 in
        python)
            if ! command -v "$PYTHON" >/dev/null 2>&1; then
                missing+=("$(basename "$PYTHON")" "$(venv_package)")
            elif ! "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
                missing+=("$(venv_package)")
            fi
            ;;
        run)
            need_program softhsm2-util softhsm2
            need_program pkcs11-tool opensc
            need_program openssl openssl
            ;;
        test)
            need_program git git # tests/architecture asks it which files are the project's
            need_program p11-kit p11-kit
            need_file '/usr/lib/*/pkcs11/p11-kit-client.so' p11-kit-modules
            need_program certutil libnss3-tools
            need_program certtool gnutls-bin
            need_file '/usr/lib/postgresql/*/bin/initdb' postgresql
            ;;
        bench)
            need_program wrk wrk
            ;;
        *)
            echo "apt.sh: unknown group \"$1\"" >&2
            exit 2
            ;;
    esac
}

install() { # packages; the lists of a fresh image are empty or stale, so one refresh is worth a try
    local -a options=(-y --no-install-recommends -o DPkg::Lock::Timeout=120)
    compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt-get update -q
    apt-get install -q "${options[@]}" "$@" || { apt-get update -q && apt-get install -q "${options[@]}" "$@"; }
}

for group in "$@"; do
    collect "$group"
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing: ${missing[*]} (names of Debian packages). This machine has no apt-get: install them its own way" >&2
    exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "missing: ${missing[*]}. Run this, then the same make command again:" >&2
    echo "    sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 2
fi
echo "installing ${missing[*]}"
DEBIAN_FRONTEND=noninteractive install "${missing[@]}" </dev/null

#!/bin/sh
# Makes a private SoftHSM token for development, CI and tests, and prints how to reach it. Idempotent.
#
#   softhsm/set-up.sh DIRECTORY [LABEL [PIN]]      the PIN is random when it is not given
#
# Needs softhsm2-util (Debian, Ubuntu: apt-get install softhsm2).
set -eu

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
    echo "usage: $0 DIRECTORY [LABEL [PIN]]" >&2
    exit 2
fi
if ! command -v softhsm2-util >/dev/null; then
    echo "$0: softhsm2-util is missing: apt-get install softhsm2" >&2
    exit 1
fi

umask 077
mkdir -p "$1/tokens"
directory=$(cd "$1" && pwd)
chmod 700 "$directory" "$directory/tokens"
label=${2:-chancery-dev}
random_digits() { od -An -N8 -tx8 /dev/urandom | tr -d ' \n'; }

configuration=$directory/softhsm2.conf
cat >"$configuration.new" <<EOF
directories.tokendir = $directory/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
EOF
mv "$configuration.new" "$configuration"
export SOFTHSM2_CONF="$configuration"

if softhsm2-util --show-slots | grep -q "^ *Label: *$label *\$"; then
    echo "# the token is there already, with the PIN that it was made with"
else
    printf '%s\n' "${3:-$(random_digits)}" >"$directory/pin"
    softhsm2-util --init-token --free --label "$label" --pin "$(cat "$directory/pin")" --so-pin "$(random_digits)" \
        >/dev/null
fi

for module in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so; do
    [ -e "$module" ] && break
done

cat <<EOF
export SOFTHSM2_CONF=$configuration
# token label: $label   PIN: $(cat "$directory/pin")
# For the server's configuration:
kms_libraries:
  - type: pkcs11
    name: softhsm
    library: $module
    environment: {SOFTHSM2_CONF: $configuration}
EOF

#!/bin/sh
# A server that speaks S3, for tests: moto, in memory, on 127.0.0.1. What it is made of is pinned in tests/s3/requirements.txt.
#
#   s3.sh fetch        install it (pip), unless it is there
#   s3.sh leash PORT   become it, but end when standard input ends: it does not outlive who started it
#
# S3_VENV names its folder (target/s3).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${S3_VENV:-${CARGO_TARGET_DIR:-$root/target}/s3}

fetch() {
    [ -e "$venv/.whole" ] && [ "$venv/.whole" -nt "$root/tests/s3/requirements.txt" ] && return 0
    rm -rf "$venv"
    if ! python3 -m venv "$venv" >&2 ||
        ! "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$root/tests/s3/requirements.txt" >&2; then
        echo "error: the S3 server of the tests could not be installed: it takes Python 3 with venv (Debian: python3-venv) and a" >&2
        echo "       package index that pip reaches" >&2
        exit 1
    fi
    touch "$venv/.whole"
}

case ${1:-} in
fetch) fetch ;;
leash)
    fetch
    "$venv/bin/moto_server" -H 127.0.0.1 -p "$2" </dev/null >/dev/null 2>&1 &
    server=$!
    cat >/dev/null
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

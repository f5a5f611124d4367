#!/bin/sh
# Builds, gathers a log, replays it and serves. DATA=PATH names a log, LISTEN=ADDRESS:PORT the address.
# What was replayed stays under data/demo*: the next start goes on from there. `make clean` forgets it.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh

listen=${LISTEN:-127.0.0.1:8080}
kinds="interactions uploads users follows deletes served"
must_have_build_tools
must_have curl curl ca-certificates

# The world's size can be changed for a quick look.
users=${DEMO_USERS:-2000}
videos=${DEMO_VIDEOS:-3000}
events=${DEMO_EVENTS:-60000}

echo "building (the first time takes some minutes)"
cargo build --release -p freshet-pipeline
freshet=${CARGO_TARGET_DIR:-target}/release/freshet

# The parts are linked, not copied: what is posted goes into files of the demo's own, and the data stay as they are.
link_parts() { # FROM TAG TO
    found=no
    for kind in $kinds; do
        for part in "$1/$kind"/part-*; do
            [ -e "$part" ] || continue
            found=yes
            mkdir -p "$3/$kind"
            name=$(basename "$part")
            ln -sf "$(cd "$(dirname "$part")" && pwd)/$name" "$3/$kind/part-$2-${name#part-}"
        done
    done
    [ "$found" = yes ]
}

if [ -n "${DATA:-}" ]; then
    if [ ! -d "$DATA" ]; then
        echo "error: DATA=$DATA: there is no such folder; name the folder of an event log" >&2
        exit 2
    fi
    demo=data/demo-$(cd "$DATA" && pwd | cksum | cut -d ' ' -f 1)
    if [ ! -d "$demo/log" ]; then
        rm -rf "$demo/log.new"
        if ! link_parts "$DATA" data "$demo/log.new"; then
            echo "error: DATA=$DATA holds no event log (folders $kinds with part-* files)." >&2
            echo "       Make one from a public data set with: $freshet import SET FILES --out DIR" >&2
            exit 2
        fi
        mv "$demo/log.new" "$demo/log"
    fi
else
    demo=data/demo
    if [ ! -d "$demo/log" ]; then
        rm -rf "$demo/world" "$demo/log.new"
        mkdir -p "$demo"
        "$freshet" generate --users "$users" --videos "$videos" --events "$events" --seed 7 --out "$demo/world"
        link_parts "$demo/world" world "$demo/log.new"
        link_parts data-sample sample "$demo/log.new" || echo "no data-sample/: the generated world alone"
        mv "$demo/log.new" "$demo/log"
    fi
fi

config=configs/demo.toml
if [ -n "${FRESHET_TOKEN:-}" ]; then
    config=$demo/demo.toml
    sed 's/^\[server\]$/[server]\ntoken_env = "FRESHET_TOKEN"/' configs/demo.toml > "$config"
fi
exec "$freshet" run --config "$config" --input "$demo/log" --store "$demo/store" --listen "$listen"

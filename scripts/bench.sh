#!/bin/sh
# Builds for release, measures, prints conditions and figures. Arguments go to the benchmark: names of groups, --json,
# --help. Worlds are kept under target/bench.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh

must_have_build_tools
# Only Kafka's figures need servers; all are measured where none is named.
for argument in "$@"; do
    case $argument in
    features | state | workers | lists | freshness | reads | checkpoint | archive | growth | --help) named=yes ;;
    kafka) kafka=yes ;;
    sql) sql=yes named=yes ;;
    esac
done
if [ -n "${kafka:-}" ] || [ -z "${named:-}" ]; then
    must_have redis-server redis-server
    must_have_kafka
fi
# On standard error, so that `make -s bench ARGS=--json` is JSON and nothing else.
echo "building (the first time takes some minutes)" >&2
cargo build --release --quiet -p freshet-bench -p freshet-pipeline
# The query engine takes longer than all the rest, so it is built only for its own figures.
if [ -n "${sql:-}" ]; then
    cargo build --release --quiet -p freshet-sql
fi
target=${CARGO_TARGET_DIR:-target}
exec "$target/release/freshet-bench" --freshet "$target/release/freshet" --dir "$target/bench" "$@"

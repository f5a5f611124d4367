#!/bin/sh
# Format, lints, tests. Says at the end which optional inputs were absent: tests that need them have skipped.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh

must_have_build_tools
must_have redis-server redis-server
must_have openssl openssl
must_have psql postgresql-client
must_have_kafka
absent=
need chromium chromium || absent="$absent
  chromium: the page is not tested in a browser"
need protoc protobuf-compiler python3 python3-redis python3-protobuf || absent="$absent
  protoc: the Python program that reads from Redis is not run"
need npm nodejs npm || absent="$absent
  npm: the Node.js program that reads from Redis is not run"
need_python psycopg python3-psycopg && need_python psycopg2 python3-psycopg2 && need_python sqlalchemy python3-sqlalchemy ||
    absent="$absent
  psycopg, SQLAlchemy: Python's drivers are not tested against the Postgres wire"
must_have_promtool || absent="$absent
  promtool: whether the alert rules fire is not tested"
must_have_s3 || absent="$absent
  an S3 server: checkpoints in a bucket are tested over memory alone"
[ -d ../shared/data ] || absent="$absent
  ../shared/data: the end-to-end runs on public data are skipped"
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

say() { printf '\n== %s\n' "$*"; }
say "cargo fmt --all --check"
cargo fmt --all --check
say "cargo clippy --workspace --all-targets"
cargo clippy --workspace --all-targets -- -D warnings
say "cargo test --workspace"
# FAISS shares each call out to a thread a core, which then spin beside the other tests: results are the same, time is not.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
cargo test --workspace
say "crash points"
cargo test --workspace --features freshet-pipeline/failpoints --test failpoints

if [ -n "$absent" ]; then
    say "passed; optional inputs that were absent:$absent"
else
    say "passed; no optional input was absent"
fi

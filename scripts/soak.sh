#!/bin/sh
# Kafka, Redis and the pipeline under load while all of them are killed by a seeded schedule; the second half is quiet. SOAK_MINUTES,
# SOAK_SEED and SOAK_PROCESSES say how long, which and with how many processes: tests/e2e/soak.rs.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh

must_have_build_tools
must_have redis-server redis-server
must_have_kafka
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
cargo build --release --quiet -p freshet-pipeline
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export FRESHET_BIN="$target/release/freshet"
exec cargo test --quiet -p freshet-tests --test e2e -- --ignored --nocapture a_long_soak

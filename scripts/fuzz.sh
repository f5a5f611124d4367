#!/bin/sh
# Builds the fuzz targets of fuzz/ with a nightly compiler and runs each for FUZZ_SECONDS (60). What was found interesting is kept under
# target/fuzz/corpus; a finding ends the script and is left in target/fuzz.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh

must_have_build_tools
rustup toolchain list | grep -q nightly || rustup toolchain install nightly --profile minimal
mkdir -p "${CARGO_TARGET_DIR:-target}/fuzz"
out=$(cd "${CARGO_TARGET_DIR:-target}/fuzz" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
seeds=$(pwd)/fuzz/corpus
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
# With a target named, build scripts are not instrumented.
(cd fuzz && RUSTFLAGS="$coverage" CARGO_TARGET_DIR="$out" cargo +nightly build --release --quiet --target "$host")
cd "$out"
for target in "$seeds"/*; do
    target=${target##*/}
    mkdir -p "corpus/$target"
    "$host/release/$target" -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=1500 -print_final_stats=1 \
        "corpus/$target" "$seeds/$target" 2>"$target.log" || { tail -40 "$target.log"; exit 1; }
    printf '%-20s %s\n' "$target" "$(sed -n 's/^Done /done: /p' "$target.log")"
done

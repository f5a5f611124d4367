#!/bin/sh
# The whole chain on one machine: a Kafka broker, a world that is sent into it, the pipeline, the feed server. Each start
# begins anew under data/demo-kafka; Ctrl-C ends all of it, each process by its number.
# KAFKA_PORT and LISTEN name other addresses, DEMO_RATE the events a second.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh

listen=${LISTEN:-127.0.0.1:8080}
port=${KAFKA_PORT:-9092}
rate=${DEMO_RATE:-50}
users=${DEMO_USERS:-2000}
videos=${DEMO_VIDEOS:-3000}
events=${DEMO_EVENTS:-40000}
past=$((events * 3 / 4))
demo=$(pwd)/data/demo-kafka

must_have_build_tools
must_have_kafka
must_have curl curl ca-certificates
echo "building (the first time takes some minutes)"
cargo build --release -p freshet-pipeline
freshet=${CARGO_TARGET_DIR:-target}/release/freshet

rm -rf "$demo"
mkdir -p "$demo"
# The store is named here: another kind of store is another [store] section, in configs/kafka.toml.
sed -e "s|^brokers = .*|brokers = \"127.0.0.1:$port\"|" -e "s|^dir = .*|dir = \"$demo/store\"|" \
    -e "s|^listen = .*|listen = \"$listen\"|" -e 's|^filter = .*|filter = "warn"|' configs/kafka.toml >"$demo/kafka.toml"

started=
end() {
    trap - EXIT INT TERM
    for process in $started; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
}
trap end EXIT
trap 'end; exit 0' INT TERM

echo "starting a broker on 127.0.0.1:$port (what it says: $demo/broker.log)"
sh scripts/kafka.sh run "$demo/broker" "$port" $((port + 1)) >"$demo/broker.log" 2>&1 &
broker=$!
started=$broker

"$freshet" generate --users "$users" --videos "$videos" --events "$events" --seed 7 --out "$demo/world" >/dev/null
echo "sending the past: the first $past records, moved so that the last of them happens now"
tries=0
until "$freshet" produce "$demo/world" --config "$demo/kafka.toml" --create-topics 3 --first "$past" --ends-now \
    2>"$demo/produce.log"; do
    tries=$((tries + 1))
    if [ "$tries" -ge 10 ] || ! kill -0 "$broker" 2>/dev/null; then
        cat "$demo/broker.log" "$demo/produce.log" >&2
        echo "error: the broker on 127.0.0.1:$port took nothing; is the port taken? KAFKA_PORT names another" >&2
        exit 1
    fi
    sleep 1
done

"$freshet" run --config "$demo/kafka.toml" &
pipeline=$!
started="$pipeline $started"
until curl -fs "http://$listen/readyz" >/dev/null 2>&1; do
    kill -0 "$pipeline" 2>/dev/null || exit 1
    sleep 1
done
cat <<WHAT

  the page:       http://$listen/          (pick a user, watch, like: the click goes through Kafka into the list)
  the metrics:    http://$listen/metrics   (freshet_input_lag_records, freshet_freshness_seconds, ...)
  one more event: curl -H 'content-type: application/json' -d '{"user_id":"1000001","video_id":"1000000001","watch_ms":9000}' \\
                      http://$listen/v1/events
  the topics:     any Kafka client on 127.0.0.1:$port; freshet.interactions, freshet.served, freshet.dead_letters, ...

now sending $rate events a second; Ctrl-C ends everything
WHAT
"$freshet" produce "$demo/world" --config "$demo/kafka.toml" --after "$past" --live --rate "$rate" &
producer=$!
started="$producer $started"
wait "$producer" || true
echo "the world has come to its end; the service goes on until Ctrl-C"
wait "$pipeline"

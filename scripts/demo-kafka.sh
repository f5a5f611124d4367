#!/bin/sh
# The whole chain on one machine, as it is deployed: a Kafka broker, a world that is sent into it, the pipeline, Redis, and a feed
# server of its own, which has the page. Each start begins anew under data/demo-kafka; Ctrl-C ends all of it, each process by its
# number. KAFKA_PORT, REDIS_PORT, PIPELINE and LISTEN name other addresses, DEMO_RATE the events a second.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh

listen=${LISTEN:-127.0.0.1:8080}
pipeline_listen=${PIPELINE:-127.0.0.1:8079}
port=${KAFKA_PORT:-9092}
redis_port=${REDIS_PORT:-6390}
rate=${DEMO_RATE:-50}
users=${DEMO_USERS:-2000}
videos=${DEMO_VIDEOS:-3000}
events=${DEMO_EVENTS:-40000}
past=$((events * 3 / 4))
demo=$(pwd)/data/demo-kafka

must_have_build_tools
must_have_kafka
must_have curl curl ca-certificates
must_have redis-server redis-server
echo "building (the first time takes some minutes)"
cargo build --release -p freshet-pipeline
freshet=${CARGO_TARGET_DIR:-target}/release/freshet

rm -rf "$demo"
mkdir -p "$demo"
sed -e "s|^brokers = .*|brokers = \"127.0.0.1:$port\"|" -e "s|^dir = .*|dir = \"$demo/store\"|" \
    -e "s|^url = .*|url = \"redis://127.0.0.1:$redis_port/0\"|" -e "s|^listen = .*|listen = \"$pipeline_listen\"|" \
    -e 's|^filter = .*|filter = "warn"|' configs/kafka-redis.toml >"$demo/kafka.toml"

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
echo "starting Redis on 127.0.0.1:$redis_port"
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$demo" --appendonly yes --save '' >"$demo/redis.log" 2>&1 &
redis=$!
started="$redis $started"

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

# Not another server that answers at that port.
if ! kill -0 "$redis" 2>/dev/null; then
    cat "$demo/redis.log" >&2
    echo "error: Redis does not run; is 127.0.0.1:$redis_port taken? REDIS_PORT names another" >&2
    exit 1
fi
"$freshet" run --config "$demo/kafka.toml" >"$demo/pipeline.log" &
pipeline=$!
"$freshet" serve --config "$demo/kafka.toml" --listen "$listen" >"$demo/serve.log" &
server=$!
started="$server $pipeline $started"
# The feed server is ready as soon as there is a store; lists are whole when the pipeline has caught up.
for address in "$pipeline_listen" "$listen"; do
    until curl -fs "http://$address/readyz" >/dev/null 2>&1; do
        kill -0 "$pipeline" 2>/dev/null && kill -0 "$server" 2>/dev/null || exit 1
        sleep 1
    done
done
cat <<WHAT

  the page:       http://$listen/          (a feed server of its own: the click goes through Kafka and the pipeline into Redis)
  the metrics:    http://$pipeline_listen/metrics   (the pipeline's: freshet_input_lag_records, freshet_freshness_seconds, ...)
  one more event: curl -H 'content-type: application/json' -d '{"user_id":"1000001","video_id":"1000000001","watch_ms":9000}' \\
                      http://$listen/v1/events
  the topics:     any Kafka client on 127.0.0.1:$port; freshet.interactions, freshet.served, freshet.dead_letters, ...
  the lists:      redis-cli -p $redis_port --scan --pattern 'feed:*' | head   (docs/store.md has the values)

now sending $rate events a second; Ctrl-C ends everything
WHAT
"$freshet" produce "$demo/world" --config "$demo/kafka.toml" --after "$past" --live --rate "$rate" &
producer=$!
started="$producer $started"
wait "$producer" || true
echo "the world has come to its end; the service goes on until Ctrl-C"
wait "$pipeline"

#!/bin/sh
# A real Kafka broker for tests and the demo: one KRaft node on 127.0.0.1, made of the jars that tests/kafka/pom.xml names.
#
#   kafka.sh jars                 fetch the jars (Maven), unless they are there
#   kafka.sh run DIR PORT CPORT   format DIR where it is new, then become the broker; CPORT is its controller's port
#   kafka.sh leash DIR PORT CPORT the same, but end it when standard input ends: it does not outlive who started it
#
# KAFKA_JARS names the jars' folder (target/kafka), KAFKA_HEAP the JVM's heap (256m). With KAFKA_EPHEMERAL a leashed broker
# takes DIR with it. The broker's process id is in DIR/pid.
# KAFKA_TLS="CERTIFICATE CA PORT SPORT": PEM files (the first with key and certificate); the broker then speaks TLS too, at PORT with
# clients that have a certificate of CA, at SPORT with the user "freshet", password "hush-hush", by SCRAM-SHA-512.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
jars=${KAFKA_JARS:-${CARGO_TARGET_DIR:-$root/target}/kafka}

fetch_jars() {
    [ -e "$jars/.whole" ] && [ "$jars/.whole" -nt "$root/tests/kafka/pom.xml" ] && return 0
    for command in mvn java; do
        if ! command -v "$command" >/dev/null 2>&1; then
            echo "error: $command is missing: the Kafka broker of the tests needs Java 17 and Maven (Debian:" >&2
            echo "       apt-get install openjdk-17-jre-headless maven); make test installs them" >&2
            exit 1
        fi
    done
    rm -rf "$jars"
    mkdir -p "$jars"
    if ! mvn -B -q -f "$root/tests/kafka/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$jars" >&2; then
        echo "error: Maven could not fetch the Kafka broker's jars: is its repository reachable? (see ~/.m2/settings.xml)" >&2
        exit 1
    fi
    touch "$jars/.whole"
}

# Becomes the process that it is called in.
java_main() { # CLASS ARGS...
    exec java -Xmx"${KAFKA_HEAP:-256m}" -Xms64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$jars/*" "$@"
}

prepare() { # DIR PORT CPORT
    fetch_jars
    mkdir -p "$1"
    listeners=PLAINTEXT://127.0.0.1:$2
    scram=
    if [ -n "${KAFKA_TLS:-}" ]; then
        read -r certificate ca port sport <<TLS
$KAFKA_TLS
TLS
        listeners=$listeners,TLS://127.0.0.1:$port,SCRAM://127.0.0.1:$sport
        scram="--add-scram SCRAM-SHA-512=[name=freshet,password=hush-hush]"
    fi
    cat >"$1/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=$listeners,CONTROLLER://127.0.0.1:$3
advertised.listeners=$listeners
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$3
log.dirs=$1/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.threads=1
PROPERTIES
    [ -z "$scram" ] || cat >>"$1/server.properties" <<PROPERTIES
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SCRAM:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=$certificate
ssl.truststore.type=PEM
ssl.truststore.location=$ca
listener.name.tls.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
PROPERTIES
    [ -e "$1/data/meta.properties" ] ||
        (java_main kafka.tools.StorageTool format --cluster-id ZnJlc2hldC1icm9rZXItMQ \
            --config "$1/server.properties" $scram) >"$1/format.log" 2>&1 || { cat "$1/format.log" >&2; exit 1; }
}

case ${1:-} in
jars) fetch_jars ;;
run)
    prepare "$2" "$3" "$4"
    echo $$ >"$2/pid"
    java_main kafka.Kafka "$2/server.properties"
    ;;
leash)
    prepare "$2" "$3" "$4"
    java_main kafka.Kafka "$2/server.properties" </dev/null &
    broker=$!
    echo "$broker" >"$2/pid"
    cat >/dev/null
    kill "$broker" 2>/dev/null || true
    wait "$broker" || true
    [ -z "${KAFKA_EPHEMERAL:-}" ] || rm -rf "$2"
    ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

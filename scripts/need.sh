# Sourced by the other scripts: `need COMMAND PACKAGE...` installs Debian packages where a command is missing.
# Works as root without sudo and as a user with sudo; never asks.

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo -n "$@"
    else
        return 1
    fi
}

# 0: the command is there now. 1: it is missing and could not be installed.
need() {
    wanted=$1
    shift
    command -v "$wanted" >/dev/null 2>&1 && return 0
    apt_install "$wanted" "$@" && command -v "$wanted" >/dev/null 2>&1
}

# apt_install PURPOSE PACKAGE...
apt_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    purpose=$1
    shift
    echo "installing $* (for $purpose)"
    if [ -z "${apt_updated:-}" ]; then
        as_root apt-get update -qq || return 1
        apt_updated=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The same for a module of the system's Python: `need_python MODULE PACKAGE...`.
need_python() {
    module=$1
    shift
    need python3 python3 || return 1
    python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    "$python" -c "import $module" 2>/dev/null && return 0
    apt_install "$module" "$@" && "$python" -c "import $module" 2>/dev/null
}

must_have() {
    if ! need "$@"; then
        echo "error: $1 is missing and could not be installed: install the package $2, then try again" >&2
        exit 1
    fi
}

must_have_rust() {
    if ! command -v cargo >/dev/null 2>&1; then
        if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
            PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
            export PATH
        else
            echo "error: cargo is missing: install Rust 1.95 or later from https://rustup.rs, then try again" >&2
            exit 1
        fi
    fi
}

# FAISS is linked with BLAS, LAPACK and OpenMP. A library is no command: whether it is there, the linker knows.
links_blas() {
    echo 'int main(void) { return 0; }' | cc -x c - -lblas -llapack -lgomp -o /dev/null 2>/dev/null
}

# The tests and the demo run a real Kafka broker: its jars come through Maven, as tests/kafka/pom.xml names them.
must_have_kafka() {
    must_have java openjdk-17-jre-headless
    must_have mvn maven openjdk-17-jre-headless
    sh scripts/kafka.sh jars
}

# The S3 server of the tests: Python packages of their own, as tests/s3/requirements.txt names them. 1: it cannot be had.
# Prometheus' tool alone: Debian's package would start a server as well.
must_have_promtool() {
    tools=${CARGO_TARGET_DIR:-target}/promtool
    [ -x "$tools/usr/bin/promtool" ] && return 0
    command -v apt-get >/dev/null 2>&1 || return 1
    echo "fetching promtool (for the test of the alert rules)"
    mkdir -p "$tools"
    tools=$(cd "$tools" && pwd)
    if [ -z "${apt_updated:-}" ]; then
        as_root apt-get update -qq || return 1
        apt_updated=yes
    fi
    (cd "$tools" && apt-get download -qq prometheus >/dev/null 2>&1 && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb) || return 1
}

must_have_s3() {
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install "the S3 server of the tests" python3 python3-venv || return 1
    fi
    sh scripts/s3.sh fetch
}

# The C compiler builds zstd, librdkafka (over OpenSSL) and links; cmake and the C++ compiler build FAISS.
must_have_build_tools() {
    must_have_rust
    must_have cc gcc libc6-dev
    must_have c++ g++
    must_have cmake cmake make
    must_have pkg-config pkg-config
    if ! pkg-config --exists openssl; then
        apt_install "TLS to Kafka" libssl-dev || true
        if ! pkg-config --exists openssl; then
            echo "error: OpenSSL's headers are missing: install the package libssl-dev, then try again" >&2
            exit 1
        fi
    fi
    if ! links_blas; then
        apt_install "BLAS and LAPACK" libopenblas-dev || true
        if ! links_blas; then
            echo "error: -lblas -llapack -lgomp do not link: install the package libopenblas-dev, then try again" >&2
            exit 1
        fi
    fi
}

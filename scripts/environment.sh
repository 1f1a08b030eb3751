# Create .venv and keep it up to date. Sourced by scripts/keras-lstm and
# scripts/test; `ensure_environment GROUP [EXTRA ...]` takes `run`, `dev`,
# `slow`, `docs` or `release`, and extras of pyproject.toml. scripts/matrix.py
# sets `venv` and `constraints` to its own.
venv="$root/.venv"
constraints=constraints.txt

# Print the first Python of a supported version, or one line that names the
# supported versions and the candidates.
find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11 python) found="" rule='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
    if [ -n "${KERAS_LSTM_PYTHON:-}" ]; then candidates=("$KERAS_LSTM_PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c "$rule" >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
        found+="$candidate ($("$candidate" --version 2>/dev/null || echo 'not found')), "
    done
    echo "keras-lstm needs Python 3.11, 3.12 or 3.13. Tried: ${found%, }. Choose another with KERAS_LSTM_PYTHON=/path/to/python." >&2
    return 2
}

ensure_environment() {
    local group=$1 extras="${*:2}" python stamp wanted
    extras="${extras// /,}"
    stamp="$venv/.installed-$group${extras:+-$extras}"
    wanted="$root $(cd "$root" && cat pyproject.toml "$constraints" | cksum)"
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    python=$(find_python) || return
    # One installation at a time; a process that waited finds it done.
    exec 9>"$venv.lock"
    if command -v flock >/dev/null 2>&1; then flock 9; fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        install_environment "$python" "$group" "$extras" || return
        printf '%s\n' "$wanted" >"$stamp"
    fi
    exec 9>&-
}

install_environment() {
    local python=$1 group=$2 extras=$3 log
    if [ "$group" = dev ] || [ "$group" = slow ]; then extras="extract,litert,onnx${extras:+,$extras}"; fi
    local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
    echo "keras-lstm: installing into ${venv#"$root/"} (a few minutes, once)" >&2
    # A .venv that was moved, or whose Python is gone, is created again.
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || ! grep -qsF "$venv" "$venv/bin/pip"; then
        "$python" -m venv --clear "$venv" >&2 || {
            echo "keras-lstm: '$python -m venv' failed; on Debian and Ubuntu install python3-venv." >&2
            return 2
        }
    fi
    # Dependency groups need pip 25.1; Python 3.11 comes with an older one.
    log="$venv/installation.log"
    (
        cd "$root" &&
            "${pip[@]}" install --constraint "$constraints" pip &&
            "${pip[@]}" install --constraint "$constraints" --editable ".${extras:+[$extras]}" &&
            if [ "$group" != run ]; then "${pip[@]}" install --constraint "$constraints" --group "$group"; fi
    ) >"$log" 2>&1 || {
        cat "$log" >&2
        echo "keras-lstm: the installation failed; see the lines above. Run the command again to continue." >&2
        return 1
    }
}

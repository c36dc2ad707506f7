#!/usr/bin/env bash
# Installs Gatepass into a folder of the job's own, and puts `gatepass` alone on the PATH of the steps that follow.
#
# What it needs is pinned by hash in the requirements.lock beside this file. Nothing of the workspace has a say: a pull
# request could put a pip.py, a uv.toml or a .python-version there.
set -euo pipefail

fail() {
  echo "::error title=Gatepass::$1"
  exit 1
}

[ "${RUNNER_OS:-}" != Windows ] || fail "expected a runner with Linux or macOS, got Windows"

lock=$GITHUB_ACTION_PATH/deploy/action/requirements.lock
place=$RUNNER_TEMP/gatepass
package=${GATEPASS_VERSION:+gatepass==$GATEPASS_VERSION}
package=${package:-$GITHUB_ACTION_PATH}
mkdir -p "$place/bin"
cd "$place"

# uv brings a Python that is new enough, where the runner has none; it knows a folder that has changed only when told so
if command -v uv >/dev/null; then
  uv venv --quiet --clear --no-project --python '>=3.12' venv
  install() { uv pip install --quiet --python venv --refresh-package gatepass "$@"; }
else
  python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 12))' ||
    fail "expected uv, or Python 3.12 or newer, got neither: actions/setup-python or astral-sh/setup-uv in a step before brings one"
  python3 -I -m venv --clear venv
  install() { venv/bin/python -I -m pip install --quiet --disable-pip-version-check "$@"; }
fi
install --require-hashes --requirement "$lock"
install --no-deps --no-build-isolation "$package"
ln -sf "$place/venv/bin/gatepass" "$place/bin/gatepass"

echo "$place/bin" >>"$GITHUB_PATH"

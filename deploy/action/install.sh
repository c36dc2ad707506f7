#!/usr/bin/env bash
# Installs Gatepass into a folder of the job's own, and puts `gatepass` alone on the PATH of the steps that follow.
set -euo pipefail

if [ "${RUNNER_OS:-}" = Windows ]; then
  echo "::error title=Gatepass::expected a runner with Linux or macOS, got Windows"
  exit 1
fi

place=$RUNNER_TEMP/gatepass
package=${GATEPASS_VERSION:+gatepass==$GATEPASS_VERSION}
package=${package:-$GITHUB_ACTION_PATH}
mkdir -p "$place/bin"

# uv brings a Python that is new enough, where the runner has none; it knows a folder that has changed only when told so
if command -v uv >/dev/null; then
  UV_TOOL_DIR=$place/tools UV_TOOL_BIN_DIR=$place/bin uv tool install --quiet --force --refresh-package gatepass "$package"
else
  python3 -m venv "$place/venv"
  "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package"
  ln -sf "$place/venv/bin/gatepass" "$place/bin/gatepass"
fi

echo "$place/bin" >>"$GITHUB_PATH"

#!/usr/bin/env bash
# Starts `gatepass serve` in the background, and waits until it listens.
#
# It ends with the job: when the last step is done the runner ends every process that has the job's RUNNER_TRACKING_ID in
# its environment ("Cleaning up orphan processes", actions/runner, src/Runner.Worker/JobExtension.cs). So that variable is
# left alone here; and the server's streams are a file, because a step lasts as long as anything holds its own.
set -euo pipefail

fail() {
  echo "::error title=Gatepass::$1"
  if [ -s "$log" ]; then
    # what the server said must not be taken for commands to the runner
    fence=$RANDOM$RANDOM$RANDOM
    echo "::stop-commands::$fence"
    cat "$log"
    echo "::$fence::"
  fi
  exit 1
}

# taken out of the environment at once, so that nothing but the server gets it
token=${GATEPASS_TOKEN:-}
unset GATEPASS_TOKEN

place=$RUNNER_TEMP/gatepass
log=$place/serve.log
# the job's own: another job of the same user on this machine is not found, and does not find this one
export XDG_RUNTIME_DIR=$place

[ -n "$token" ] || fail "expected a token in the input \`token\`, got nothing"
if gatepass env --shell bash >/dev/null 2>&1; then
  fail "it runs already: one rules file can name all the credentials that a job needs"
fi

# never the rules.yaml that lies in the workspace by chance: a pull request could put one there
rules=${GATEPASS_ACTION_RULES:-$GITHUB_ACTION_PATH/rules.yaml}
umask 077  # the log holds the proxy's password
GH_TOKEN=$token nohup gatepass serve --rules "$rules" --listen 127.0.0.1:0 >"$log" 2>&1 </dev/null &
server=$!

SECONDS=0
until gatepass env --shell bash >/dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || fail "\`gatepass serve\` did not start"
  if [ "$SECONDS" -ge "${GATEPASS_DEADLINE:-30}" ]; then
    kill "$server"
    fail "\`gatepass serve\` was not ready in time"
  fi
  sleep 0.2
done
echo "Gatepass listens; its log is $log"

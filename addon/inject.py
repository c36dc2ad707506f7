"""The file for `mitmdump -s`: loads the addon and nothing else."""

import logging

try:
    from gatepass.proxy.addon import Gatepass
except ModuleNotFoundError as error:
    if error.name is not None and error.name.partition(".")[0] in ("gatepass", "mitmproxy"):
        raise
    # an error in the log ends mitmproxy's start, and unlike an exception it comes without a traceback
    logging.getLogger("gatepass").error(  # noqa: TRY400
        "gatepass: mitmproxy's Python lacks the module `%s`\n"
        "hint: install it beside mitmproxy, or install both: `uv tool install .` in a clone of Gatepass's repository, "
        "then `gatepass serve`",
        error.name,
    )
    addons = []
else:
    addons = [Gatepass()]

"""The file for `mitmdump -s`: loads the addon and nothing else."""

import logging
import shlex
from pathlib import Path

try:
    from gatepass.proxy.addon import Gatepass
except ModuleNotFoundError as error:
    # a part of either that is not there is a fault, of ours or of mitmproxy's, and no installation mends it
    if error.name is None or error.name.startswith(("gatepass.", "mitmproxy")):
        raise
    clone = Path(__file__).resolve().parents[1]
    is_clone = (clone / "pyproject.toml").is_file()
    # an error in the log ends mitmproxy's start, and unlike an exception it comes without a traceback
    logging.getLogger("gatepass").error(  # noqa: TRY400
        "gatepass: mitmproxy's Python lacks the module `%s`\n"
        "hint: install both together: `uv tool install mitmproxy --with %s`%s; "
        "or use `gatepass serve`, which brings a mitmproxy",
        error.name,
        shlex.quote(str(clone)) if is_clone else "CLONE",
        "" if is_clone else ", a folder with Gatepass's repository, or `git+` and its URL",
    )
    addons = []
else:
    addons = [Gatepass()]

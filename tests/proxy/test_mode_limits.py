"""What cannot be done in a mode of mitmproxy's, as it is told at the start."""

from __future__ import annotations

import pytest
from mitmproxy.proxy import mode_specs

from gatepass.proxy import modes
from gatepass.rules import parser
from harness import ROOT


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("regular", None),
        ("regular@8081", None),
        ("socks5", None),
        ("upstream:http://proxy.test:3128", None),
        ("reverse:https://github.com", None),
        ("reverse:https://GitHub.com:443@8081", None),
        ("reverse:https://github.com:8443", "no rule names github.com:8443, but github.com"),
        ("reverse:https://api.github.com", "no rule names api.github.com"),
        ("reverse:http://github.com", "no credential goes there"),
        ("reverse:tcp://github.com:443", "no credential goes there"),
        ("reverse:tls://github.com:443", "no credential goes there"),
        ("reverse:https://gatepass.internal@127.0.0.1:8081", None),
        ("reverse:http://gatepass.internal", "no credential goes there"),
        ("reverse:https://gatepass.internal:8443", "no rule names gatepass.internal:8443"),
        ("transparent", "no SNI"),
        ("transparent", "there are no package indexes"),
        ("wireguard", "no SNI"),
        ("tun", "no SNI"),
        ("dns", "no HTTP"),
    ],
)
def test_limits(mode: str, expected: str | None) -> None:
    """Of each mode it is known what cannot be done in it; where all can, nothing is said."""
    text = (ROOT / "rules.yaml").read_text()
    said = list(modes.limits(mode_specs.ProxyMode.parse(mode), parser.parse(text, "rules.yaml")))
    if expected is None:
        assert said == []
    else:
        (sentence,) = said
        assert sentence.startswith(f"mode `{mode}`: ")
        assert expected in sentence


def test_upstream_of_a_guarded_proxy() -> None:
    """Where destinations are judged it is said that an upstream proxy resolves names."""
    text = (ROOT / "rules.yaml").read_text()
    mode = mode_specs.ProxyMode.parse("upstream:http://proxy.test:3128")
    (said,) = modes.limits(mode, parser.parse(text, "rules.yaml"), is_guarded=True)
    assert "names are the upstream proxy's to resolve" in said


def test_every_mode_is_known() -> None:
    """A mode that mitmproxy comes to have is one that somebody has thought about here."""
    known = {*modes.TRANSPARENT, *modes.EXPLICIT, mode_specs.ReverseMode, mode_specs.DnsMode, mode_specs.OsProxyMode}
    assert set(mode_specs.ProxyMode.__subclasses__()) == known

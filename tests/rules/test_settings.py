"""Which variables are settings of tools, and so no source of a secret."""

from __future__ import annotations

import pytest

from gatepass.rules import values
from gatepass.rules.settings import setting
from gatepass.rules.values import UnfitError
from gatepass.shell import environment

SETTINGS = """
PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_REQUIRE_HASHES PIP_TRUSTED_HOST
PIP_CONFIG_FILE UV_INDEX UV_INDEX_URL UV_INDEX_STRATEGY UV_EXTRA_INDEX_URL UV_DEFAULT_INDEX UV_FIND_LINKS
UV_CONFIG_FILE UV_INSECURE_HOST UV_KEYRING_PROVIDER UV_REQUIRE_HASHES npm_config_registry NPM_CONFIG_REGISTRY
YARN_NPM_REGISTRY_SERVER CARGO_REGISTRIES_ACME_INDEX POETRY_REPOSITORIES_ACME_URL PDM_PYPI_URL
BUNDLE_MIRROR__ALL GOPROXY GOSUMDB GONOSUMDB GOFLAGS HOMEBREW_BOTTLE_DOMAIN TWINE_INDEX_URL HTTPS_PROXY
https_proxy http_proxy ALL_PROXY no_proxy NO_PROXY PIP_PROXY npm_config_https_proxy FTP_PROXY SSL_CERT_FILE
SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT GIT_SSL_CAINFO GIT_SSL_CAPATH OPENSSL_CONF
NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED PERL_LWP_SSL_CA_FILE SSLKEYLOGFILE GIT_SSL_NO_VERIFY PATH
HOME LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES PYTHONPATH PYTHONHOME PYTHONSTARTUP PERL5LIB PERL5OPT
RUBYOPT NODE_OPTIONS JAVA_TOOL_OPTIONS _JAVA_OPTIONS MAVEN_OPTS BASH_ENV ENV SHELL IFS TMPDIR XDG_CONFIG_HOME
LANG GIT_SSH_COMMAND GIT_CONFIG_GLOBAL GIT_ASKPASS WGETRC CURL_HOME HOMEBREW_CURLRC VIRTUAL_ENV CARGO_HOME
SSH_AUTH_SOCK GATEPASS_RULES
"""

SECRETS = """
GH_TOKEN GITHUB_TOKEN GH_ENTERPRISE_TOKEN GITLAB_TOKEN NODE_AUTH_TOKEN NPM_TOKEN CARGO_REGISTRY_TOKEN
UV_PUBLISH_TOKEN UV_INDEX_ACME_PASSWORD POETRY_PYPI_TOKEN_ACME POETRY_HTTP_BASIC_ACME_PASSWORD
HOMEBREW_GITHUB_API_TOKEN GIT_PAT YARN_NPM_AUTH_IDENT COMPOSER_AUTH GEM_HOST_API_KEY npm_config__authToken
BUNDLE_GEMS__EXAMPLE__COM TWINE_PASSWORD AWS_SECRET_ACCESS_KEY APP_KEY APP_PRIVATE_KEY MY_PAT INDEX REGISTRY
PROXY_PASSWORD CA TOKEN A GOOGLE_API_KEY ARTIFACTORY_USER PATHWAY HOMEPAGE
"""


@pytest.mark.parametrize("name", SETTINGS.split())
def test_a_setting_is_no_source(name: str) -> None:
    """A variable that tells tools where from, which way, whom to trust or what to run is refused, with the reason."""
    reason = setting(name)
    assert reason is not None
    for read in (values.read_source, values.read_key_source):
        with pytest.raises(UnfitError) as caught:
            read(f"env:{name}")
        assert (caught.value.hint, caught.value.is_secret) == (
            f"`{name}` {reason}: give the secret one of its own",
            False,
        )


@pytest.mark.parametrize("name", SECRETS.split())
def test_a_secret_is_none(name: str) -> None:
    """What tools and people call a secret is read, be it among a tool's settings."""
    assert str(values.read_source(f"env:{name}")) == f"env:{name}"


def test_what_gatepass_sets_is_a_setting() -> None:
    """No source is a variable by which clients are brought here, and trust the proxy."""
    assert [name for name in (*environment.NAMES, "WGETRC", "GATEPASS_RUN") if setting(name) is None] == []

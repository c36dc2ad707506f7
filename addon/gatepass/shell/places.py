"""Where secrets lie on a user's machine, where its sockets are, and what tells programs outside what to do.

Pure: an environment and homes in, paths and names out. Whether anything is there is for others to see, and what becomes
of it, too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# ---------------------------------------------------------------------- secrets

_IN_HOME: Final = (
    # forges, and what fetches from them
    ".netrc", "_netrc", ".git-credentials", ".ssh", ".gnupg", ".password-store", ".vault-token",
    # clouds and clusters
    ".aws", ".azure", ".boto", ".s3cfg", ".oci", ".bluemix", ".fly", ".kube", ".docker", ".terraform.d", ".terraformrc",
    ".databrickscfg", ".snowflake", ".kaggle",
    # registries of packages
    ".npmrc", ".yarnrc.yml", ".pypirc", ".gem/credentials", ".m2/settings.xml", ".m2/settings-security.xml",
    ".gradle/gradle.properties", ".composer/auth.json", ".cargo/credentials", ".cargo/credentials.toml",
    ".nuget/NuGet/NuGet.Config", ".cache/huggingface/token", ".cache/huggingface/stored_tokens",
    # databases
    ".pgpass", ".my.cnf", ".mylogin.cnf",
    # browsers and mail
    ".mozilla", ".thunderbird", ".pki",
    # who may draw on the screen
    ".Xauthority", ".ICEauthority",
    # what was typed
    ".bash_history", ".zsh_history", ".zhistory", ".python_history", ".node_repl_history", ".psql_history",
    ".mysql_history", ".sqlite_history", ".lesshst", ".viminfo",
)  # fmt: skip
_IN_CONFIG: Final = (
    "gatepass", "gh", "hub", "glab-cli", "github-copilot", "git/credentials",
    "gcloud", "doctl", "hcloud", "scw", "op", "rclone", "sops", "age", "helm", "containers/auth.json", "ngrok",
    "netlify", "configstore", "pypoetry/auth.toml", "composer/auth.json", "NuGet/NuGet.Config", "nushell/history.txt",
    "google-chrome", "chromium", "BraveSoftware", "microsoft-edge", "Bitwarden CLI", "1Password", "keepassxc",
    "python_keyring",
)  # fmt: skip
_IN_DATA: Final = (
    "keyrings", "kwalletd", "python_keyring", "gopass", "uv/credentials", "pypoetry", "com.vercel.cli",
    "containers/auth.json", "fish/fish_history", "gatepass",
)  # fmt: skip
_OF_THE_SYSTEM: Final = (
    "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d",
    "/etc/ssl/private", "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key", "/etc/krb5.keytab",
    "/etc/NetworkManager/system-connections", "/etc/wireguard", "/etc/letsencrypt", "/etc/kubernetes", "/etc/rancher",
    "/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/rancher", "/var/lib/gatepass",
)  # fmt: skip
_NAMED: Final = (
    "GH_CONFIG_DIR", "NETRC", "GNUPGHOME", "PASSWORD_STORE_DIR", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CONFIG_DIR",
    "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "KUBECONFIG", "NPM_CONFIG_USERCONFIG", "npm_config_userconfig",
    "UV_CREDENTIALS_DIR", "PGPASSFILE", "BOTO_CONFIG", "CREDENTIALS_DIRECTORY", "SOPS_AGE_KEY_FILE", "KRB5CCNAME",
)  # fmt: skip
"""Variables that name such a place; several, where they stand apart by colons."""

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|PAT|CREDENTIALS?|API_?KEY|AUTH_?KEY|ACCESS_?KEY|SECRET_?KEY"
    r"|PRIVATE_?KEY|SIGNING_?KEY|ENCRYPTION_?KEY|AUTH|AUTHTOKEN)(?:_|\d*$)|(?:TOKEN|SECRET|PASSWORD)$",
    re.IGNORECASE | re.ASCII,
)
_SECRET_VALUE: Final = re.compile(r"://[^/@\s]*:[^/@\s]+@|\b(?:gh[pousr]_|github_pat_|glpat-)|-----BEGIN ", re.ASCII)
"""A URL with a password, a forge's token, a key."""
_NO_SECRETS: Final = frozenset(
    {
        "GIT_CONFIG_COUNT",
        "SSH_AUTH_SOCK",  # a socket
        "PWD",
    }
)

# ---------------------------------------------------------------------- sockets

SOCKETS: Final = (
    "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS",
    "DOCKER_HOST", "CONTAINER_HOST", "DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "XAUTHORITY", "ICEAUTHORITY",
    "SESSION_MANAGER", "PULSE_SERVER", "TMUX", "STY", "VSCODE_IPC_HOOK", "VSCODE_IPC_HOOK_CLI",
    "VSCODE_GIT_IPC_HANDLE", "VSCODE_GIT_ASKPASS_MAIN", "VSCODE_GIT_ASKPASS_NODE", "GIT_ASKPASS", "SSH_ASKPASS",
    "SUDO_ASKPASS", "WSL_INTEROP", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID",
)  # fmt: skip
"""Variables that lead to a socket, or to who asks a person by one: of no use where there is none."""
OWN: Final = ("/run", "/var/run", "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 — names of folders that an isolated command has anew
"""Folders where sockets are, and what programs leave for each other."""
_LISTED: Final = re.compile(r"^[0-9a-fA-F]{8,16}: ", re.MULTILINE)

# ----------------------------------------------------------------------- orders

SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/boot", "/opt", "/var/spool")
_ORDERS_IN_HOME: Final = (
    ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv",
    ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".xprofile", ".xinitrc", ".xsession", ".xsessionrc", ".inputrc",
    ".gitconfig", ".curlrc", ".wgetrc", ".tmux.conf", ".screenrc", ".vimrc", ".vim", ".emacs", ".emacs.d", ".gdbinit",
    ".pam_environment", ".condarc", ".cargo/config", ".cargo/config.toml", "bin", ".local/lib", ".vscode",
    ".vscode-server",
)  # fmt: skip
_ORDERS_IN_CONFIG: Final = (
    "git", "fish", "nushell", "systemd", "autostart", "environment.d", "direnv", "mise", "pip", "uv", "nvim", "tmux",
)  # fmt: skip
_ORDERS_IN_DATA: Final = ("direnv", "systemd", "applications", "dbus-1", "mise/shims")


def secrets(environ: Mapping[str, str], homes: Sequence[Path]) -> Iterator[Path]:
    """Where they lie: files and folders, of which few are there."""
    yield from map(Path, _OF_THE_SYSTEM)
    for home in homes:
        yield from (home / name for name in _IN_HOME)
    yield from _below(environ, homes, "XDG_CONFIG_HOME", ".config", _IN_CONFIG)
    yield from _below(environ, homes, "XDG_DATA_HOME", ".local/share", _IN_DATA)
    for name in _NAMED:
        for part in environ.get(name, "").split(os.pathsep):
            path = Path(part.removeprefix("FILE:"))
            if path.is_absolute():
                yield path
    if (cargo := Path(environ.get("CARGO_HOME", ""))).is_absolute():
        yield from (cargo / "credentials", cargo / "credentials.toml")


def orders(environ: Mapping[str, str], homes: Sequence[Path]) -> Iterator[Path]:
    """What programs outside are told what to do by: shells at their start, git, desktops."""
    yield from map(Path, SYSTEM)
    for home in homes:
        yield from (home / name for name in _ORDERS_IN_HOME)
    yield from _below(environ, homes, "XDG_CONFIG_HOME", ".config", _ORDERS_IN_CONFIG)
    yield from _below(environ, homes, "XDG_DATA_HOME", ".local/share", _ORDERS_IN_DATA)
    if (zsh := Path(environ.get("ZDOTDIR", ""))).is_absolute():
        yield from (zsh / name for name in (".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout"))


def caches(environ: Mapping[str, str], homes: Sequence[Path]) -> Iterator[Path]:
    """Where programs expect to write, whatever they do."""
    yield from _below(environ, homes, "XDG_CACHE_HOME", ".cache", ("",))


def programs(environ: Mapping[str, str]) -> Iterator[Path]:
    """The folders of the PATH."""
    yield from (path for part in environ.get("PATH", "").split(os.pathsep) if (path := Path(part)).is_absolute())


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, as far as its name or its value tells."""
    return name not in _NO_SECRETS and bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def listed_sockets(text: str) -> Iterator[Path]:
    """The sockets that have a path, from what /proc/net/unix has (proc(5)): a path may hold spaces, and lines."""
    for line in _LISTED.split(text)[1:]:
        # five fields, and an inode that is filled up with spaces in front
        _, _, path = line.split(" ", 5)[-1].lstrip(" ").partition(" ")
        if path.startswith("/"):
            yield Path(path.removesuffix("\n"))


def _below(
    environ: Mapping[str, str], homes: Sequence[Path], variable: str, usual: str, names: Sequence[str]
) -> Iterator[Path]:
    """These names in that folder of the XDG Base Directory Specification, and where it is by itself."""
    folders = [home / usual for home in homes]
    if (named := Path(environ.get(variable, ""))).is_absolute():
        folders.append(named)
    yield from (folder / name for folder in dict.fromkeys(folders) for name in names)

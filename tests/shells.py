"""Who reads the variables that Gatepass writes: the shells that people use, and a runner of GitHub Actions."""

from __future__ import annotations


def read_environment_file(text: str) -> dict[str, str]:
    """As the runner reads it (actions/runner, `src/Runner.Worker/FileCommandManager.cs`)."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if line:
            name, delimiter = line.split("<<", 1)
            value = []
            while (part := next(lines)) != delimiter:
                value.append(part)
            found[name] = "\n".join(value)
    return found

"""The secrets that the rules name: asked for at their sources, in order, and kept for a while.

The map; a module imports only from above itself:

    absence       why a source has no secret to give
    fitness       whether what one gave can be a secret
    programs      what a program prints: gh, git, keyring, a command
    files         what a file holds: a secret alone, or a netrc
    app           tokens of a GitHub App's installations
    store         the sources in their order; what they gave, until its end
"""

"""The way of one URL, walked as the addon would, and told step by step.

The map; a module imports only from above itself:

    redaction     secrets taken out of a text
    exchanges     the HTTP exchanges of an inquiry
    misses        why no rule matches
    explanation   findings, and the verdict
    client_view   what a client gets, as findings
    account       what the API tells of a credential, as findings
    probe         asking as a client does, through a proxy
    shell         whether a shell's variables lead to the proxy
    attempts      what clients get, tried with a few bytes
    introspection where a credential's secret comes from, and what its forge says of it
    api_inquiry   what the API tells on the way to an asset
    walk          the whole way
    lockfiles     the release downloads of a project
    report        the debug bundle
"""

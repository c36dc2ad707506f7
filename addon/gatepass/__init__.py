"""Gatepass: private GitHub release assets, downloadable by any tool at their ordinary URL.

The map, from what knows least to what knows most; a module imports only from above itself:

    errors        the one error that is meant for a person
    forges        hosts, and where a forge's web pages and API live
    urls          the download URLs of a forge: parse and build
    problems      what went wrong, in words and as problem details
    yaml_source, rules_shape, rules_values, rules
                  rules.yaml: where each key stands, what shape it has, what it means
    config        which rules file, and where the addon's script is
    credentials   sources of secrets, and the type that holds one
    github        the one client of API and asset hosts
    decision      request + rules -> Pass | Refuse | Inject | Resolve; what a client wants, and how it gets it
    resolver      a decision -> the asset, its URLs, the secret
    answers       the responses that clients see
    sealed        headers whose secret is on the wire alone
    errands       a flow sent elsewhere, and given its face back
    upstream      trust and proxy of the addon's own calls, from mitmproxy's options
    hooks         the addon: mitmproxy's events in, decisions out
    trust, environment
                  CA and bundles; the variables that clients need
    proxy         a mitmproxy in this process
    cli/          one module a command
    demo/         the stand-in GitHub and its packages
"""

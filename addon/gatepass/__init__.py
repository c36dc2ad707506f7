"""Gatepass: private GitHub release assets, downloadable by any tool at their ordinary URL.

The map, from what knows least to what knows most; a module imports only from above itself:

    errors        the one error that is meant for a person
    forges        hosts, and where a forge's web pages and API live
    urls          the download URLs of a forge: parse and build
    sources       where a secret may come from
    problems      what went wrong, in words and as problem details
    yaml_source, rules_values, rules_shape, rules, rules_parser
                  rules.yaml: where each key stands, what a value says, what shape it has, what it means
    config        which rules file, and where the addon's script is
    rules_text    what rules do, in words
    inherited     the proxy that the user's shell has already, and what need not go there
    secret        the type that holds a secret, and whom one is for
    signed        signed URLs: where they lead, and until when
    statistics    what was done, and what it cost
    refusals      what an API's refusal or a fault of the network means
    github        the one client of a forge: API, web and asset hosts
    fields        header fields, as who sends a request on has to read them
    conditions    conditional and range requests, as far as they are answered here
    decision      request + rules -> Pass | Refuse | Inject | Resolve; and what a client wants of an asset
    diagnosis     why a release was not found: asked on failure alone
    cache         what was learnt, bounded and expiring; one call for all who ask
    credentials/  the secrets that the rules name, asked for at their sources; with a map of its own
    resolver      a decision -> the asset's source: asked for once, remembered while it holds
    answers       the responses that clients see
    delivery      a source -> Answer | Serve | Rewrite
    sealed        headers whose secret is on the wire alone
    errands       a flow sent elsewhere, and given its face back
    upstream      trust and proxy of the addon's own calls, from mitmproxy's options
    modes         what mitmproxy's modes tell of the server, and what cannot be done in them
    hooks         the addon: mitmproxy's events in, decisions out
    trust         bundles of CAs: for clients, and for the proxy
    authority     the proxy's own CA: made, kept, judged
    stores        how each platform comes to trust a CA, and to forget it
    environment   the variables that clients need
    scratch       a private folder that is gone at the end
    running       which servers run: what `serve` leaves for `env`
    undo, shells, actions
                  variables set so that it can be undone; how a shell, and GitHub Actions, write that
    proxy         a mitmproxy in this process
    explain/      the way of one URL, walked as the addon would, and told; with a map of its own
    cli/          one module a command
    demo/         the stand-in GitHub and its packages
"""

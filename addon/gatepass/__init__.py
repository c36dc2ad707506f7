"""Gatepass: private GitHub release assets, downloadable by any tool at their ordinary URL.

The order of its packages and modules; each imports only from lines above its own, and `tests/test_order.py` holds it:

    errors, files, shipped         what is told to people; files written whole; files that come along
    home                           where the user's own files are
    cache, http, redaction         what everything else may use
    forge                          what a forge's addresses mean
    sources, placeholder           where a secret may come from; what stands for one
    secret, store                  the type that holds one, and whom it is for; what replicas share
    problems, rules, trust         what can go wrong; rules.yaml; CAs
    github, decision, shell        the one client of a forge; request + rules -> what to do; the user's machine
    credentials                    secrets, asked for at their sources
    egress                         who may go where, and how often: clients, destinations, limits
    assets, telemetry              a decision -> the asset's source -> bytes; what is told of requests
    index                          releases -> a package index
    proxy, explain                 mitmproxy's events in, decisions out; the way of one URL, told
    demo                           the stand-in GitHub and its packages
    cli                            one module a command
"""

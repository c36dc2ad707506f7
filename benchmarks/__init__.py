"""What Gatepass costs, measured against what it stands beside: `uv run python -m benchmarks`.

Starts everything itself, on loopback: servers in processes of their own, mitmdump with the addon and without, clients.
Each figure is a ratio of what was measured in the same run, the sides in turn. In this order:

    report        Figure, Comparison, and the table, JSON and plot made of them
    servers       processes that serve: the stand-in GitHub, a fast upstream, a slow road, git
    programs      real programs: mitmdump, uv, curl, git
    client        the cheapest HTTP/1.1 client there is, so that the proxy is what is measured
    bench         one run: its scale, its servers, its proxies
    running       a run from start to end: what it needs, says and writes
    naive         the addon that one would write first, without caches
    calls, index, latency, rate, egress, bulk, start, sources    the measurements, by noun

What it withstands, and for how long, is measured by `benchmarks.load`.
"""

"""What Gatepass withstands: `uv run python -m benchmarks.load`, apart from what it costs (`benchmarks`).

Everything is on loopback and bounded in time. In this order:

    scale       how much, and for how long
    traces      how a secret looks in bytes
    fleet       replicas, and HAProxy before them
    traffic     clients that look at every byte they get
    samples     memory and descriptors, and how they grow
    crowd, scaling, faults     the measurements
    names, sink, cases, hostile     adversarial requests, and where they must not lead
"""

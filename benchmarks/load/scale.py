"""How much load, and for how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Times are in seconds; each is a bound, too: no measurement takes longer but for its start and its end."""

    clients: int
    """At once, before HAProxy."""
    crowd_seconds: float
    soak_seconds: float
    fault_seconds: float
    """For each fault, before it ends."""
    each_alone: bool
    """Whether each fault has replicas of its own, too."""
    well_seconds: float
    """So long it is waited, at the most, until all is well again."""
    replicas: tuple[int, ...]
    requests: int
    """Adversarial ones."""
    hostile_seconds: float
    seed: int = 1
    first_case: int = 0

    def numbers(self) -> dict[str, int | float]:
        """All that is one number, by name."""
        return {
            name: value
            for name, value in asdict(self).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }


FULL: Final = Load(
    clients=500,
    crowd_seconds=300,
    soak_seconds=1800,
    fault_seconds=8,
    each_alone=True,
    well_seconds=90,
    replicas=(1, 2, 4),
    requests=1_000_000,
    hostile_seconds=1200,
)
QUICK: Final = Load(
    clients=40,
    crowd_seconds=8,
    soak_seconds=8,
    fault_seconds=1.5,
    each_alone=False,
    well_seconds=60,
    replicas=(1, 2),
    requests=2_000,
    hostile_seconds=30,
)

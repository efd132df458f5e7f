"""Which entries of an oplog replay sees: everything outside the skipped regions."""

from __future__ import annotations

from bisect import bisect_right

from attrs import frozen

from golem_sdk.core.entries import OplogIndex, OplogRegion

__all__ = ["NO_REGIONS", "Regions"]


@frozen
class Regions:
    """Skipped regions, disjoint and in order. A region that covers others has swallowed them (R1)."""

    skipped: tuple[OplogRegion, ...] = ()

    def with_region(self, region: OplogRegion) -> Regions:
        """These regions and one more.

        Raises:
            ValueError: the region is empty or overlaps another one half (R1), or the entry before it is
                itself skipped, so that replay could never reach the region's edge (R1, R2).
        """
        if region.start > region.end or region.start < 2:
            raise ValueError(f"an oplog region must hold entries after the first: {region}")
        if not self.is_visible(region.start - 1):
            raise ValueError(f"the entry before {region} is skipped already: {self.skipped}")
        kept: list[OplogRegion] = []
        for other in self.skipped:
            if other.end < region.start or region.end < other.start:
                kept.append(other)
            elif region.end < other.end:  # it begins inside, since the entry before is visible
                raise ValueError(f"{region} half overlaps {other}")
        return Regions(tuple(sorted((*kept, region), key=lambda r: r.start)))

    def is_visible(self, index: OplogIndex) -> bool:
        """Whether replay sees the entry at ``index``."""
        at = bisect_right(self.skipped, index, key=lambda region: region.start)
        return at == 0 or self.skipped[at - 1].end < index


NO_REGIONS = Regions()

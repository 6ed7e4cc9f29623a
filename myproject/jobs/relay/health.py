"""How the relays are, as the site sees it: from their reports, by the database's clock."""

from __future__ import annotations

import json
from dataclasses import dataclass

from myproject.jobs.ledger import fetch, now_sql
from myproject.jobs.relay.rows import seconds

#: Seconds without a report after which a relay is gone: it reports every second, also while its broker is away.
ABSENT = 15.0
#: Seconds that due jobs may be late before health says so. A healthy relay is below one; draining takes longer.
LATE = 30.0
#: Seconds after which a relay that went away without signing off is not shown any more.
SHOWN = 600.0


@dataclass(frozen=True, kw_only=True)
class RelayState:
    """One relay as it last reported: `outages` names what its apps cannot use, by app."""

    id: str
    age: float
    lag: float
    published: int
    republished: int
    expired: int
    outages: dict[str, str]

    @property
    def is_present(self) -> bool:
        """Whether it has reported lately."""
        return self.age <= ABSENT


def relays() -> list[RelayState]:
    """Return the relays that reported within the last minutes, the latest first. Raises DatabaseError."""
    found = []
    for name, seen_at, report, now in fetch(f"SELECT id, seen_at, report, {now_sql()} FROM jobs_relay", []):
        told = json.loads(report) if isinstance(report, str | bytes) else report
        apps = told.get("apps", {})
        found.append(
            RelayState(
                id=name,
                age=max(0.0, seconds(now) - seconds(seen_at)),
                lag=max((float(app.get("lag", 0)) for app in apps.values()), default=0.0),
                published=sum(app.get("published", 0) for app in apps.values()),
                republished=sum(app.get("republished", 0) for app in apps.values()),
                expired=told.get("expired", 0),
                outages={app: told["outage"] for app, told in apps.items() if told.get("outage")},
            )
        )
    return sorted((relay for relay in found if relay.age <= SHOWN), key=lambda relay: relay.age)


def verdict(found: list[RelayState]) -> str:
    """Return "ok", or a sentence on what is wrong with the publishing of jobs."""
    present = [relay for relay in found if relay.is_present]
    if not present:
        return f"no relay was seen for {ABSENT:.0f} s: jobs that were not published wait"
    served = {app for relay in present for app in relay.outages}
    shut = {app for app in served if all(app in relay.outages for relay in present)}
    if shut:
        return f"no relay can publish for {', '.join(sorted(shut))}: {present[0].outages[min(shut)]}"
    lag = min(relay.lag for relay in present)
    if lag > LATE:
        return f"due jobs are {lag:.0f} s late"
    return "ok"

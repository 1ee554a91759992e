"""What the exchange's lists held, counted per event date while they are read."""

from collections import Counter
from datetime import date, timedelta

from kalshi_ingest.domain.calendar import event_dates
from kalshi_ingest.domain.cities import city_of_series
from kalshi_ingest.domain.tickers import EventTicker, parse_event_ticker


class ListingCounts:
    """Events and markets of one series, each once."""

    def __init__(self, series_ticker: str) -> None:
        self._city = city_of_series(series_ticker)
        self._names = {series_ticker, series_ticker.removeprefix("KX")}
        self.events: set[str] = set()
        """Events in the list of events."""
        self.events_with_markets: set[str] = set()
        """Events that a listed market belongs to."""
        self.first: date | None = None
        """The first event date that the lists tell, whether or not it was asked for."""
        self.last: date | None = None
        self._markets: Counter[date] = Counter()

    def note(self, event: EventTicker) -> None:
        """A row of the lists names this event. Another series' event says nothing about this one."""
        if event.series_part.partition("-")[0] in self._names:
            self.first = min(self.first or event.event_date, event.event_date)
            self.last = max(self.last or event.event_date, event.event_date)

    def market(self, event_ticker: str) -> None:
        """Count one market; the caller sees to it that each comes once."""
        self.events_with_markets.add(event_ticker)
        self._markets[parse_event_ticker(event_ticker).event_date] += 1

    def counts(self, start: date, end: date, today: date) -> dict[date, tuple[int, int]]:
        """(events, markets) per event date, once both lists were read to their ends.

        A city has an event every day, so a day from its first on that the lists do not name counts 0, once it is
        over. Of another series no one can say which days should have an event. Lists without a single row prove
        nothing about any day: an exchange that is ill may answer so.
        """
        events = Counter(parse_event_ticker(ticker).event_date for ticker in self.events | self.events_with_markets)
        days = set(events)
        if self._city is not None and self.first is not None:
            first, last = max(start, self._city.first_event_date), min(end, today - timedelta(days=1))
            days |= set(event_dates(first, last)) if first <= last else set()
        return {day: (events[day], self._markets[day]) for day in days}

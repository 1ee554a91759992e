"""What the channel announces: a reason to ask at once, never data. REST confirms, with its own microsecond times."""

import asyncio
from collections.abc import Callable

from kalshi_ingest.exchange.channel import Channel
from kalshi_ingest.exchange.channel_messages import Changed, Event, Gap, Traded, Watched
from kalshi_ingest.jobs.follow.book import Book
from kalshi_ingest.jobs.follow.faults import Faults, is_fault
from kalshi_ingest.jobs.follow.lists import Lists
from kalshi_ingest.jobs.follow.poller import Poller
from kalshi_ingest.jobs.follow.rhythm import Rhythm
from kalshi_ingest.jobs.follow.state import FollowState


def listener(book: Book, lists: Lists, poller: Poller, state: FollowState) -> Callable[[Event], None]:
    """Turns announcements into work: a trade has to be found, a changed market's lists are read, a gap is filled."""

    def listen(event: Event) -> None:
        match event:
            case Traded(ticker, trade_id):
                book.claim(ticker, trade_id)
            case Changed(ticker, _):
                # A new market is known by its name only, and the channel tells of every series of the exchange.
                lists.ask({ticker.partition("-")[0]} & state.series.keys())
            case Gap() | Watched():
                poller.now()

    return listen


async def keep(channel: Channel, book: Book, state: FollowState, rhythm: Rhythm, faults: Faults) -> None:
    """Keep a channel for the book's markets. A fault in it costs only time, because everything is polled as well."""
    times = 0
    while True:
        began = state.clock()
        try:
            await channel.run(lambda: book.tickers(trading=True))
        except Exception as fault:
            if not is_fault(fault):
                raise
            faults.note("channel", fault)
            times = 1 if state.clock() - began >= rhythm.longest_fault else times + 1
        await asyncio.sleep(min(rhythm.longest_fault, rhythm.fault * 2.0 ** min(times, 16)))

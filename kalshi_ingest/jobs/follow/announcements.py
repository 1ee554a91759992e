"""What the channel announces: a reason to ask at once, never data. REST confirms, with its own microsecond times."""

from collections.abc import Callable

from kalshi_ingest.exchange.channel_messages import Changed, Event, Gap, Traded, Watched
from kalshi_ingest.jobs.follow.book import Book
from kalshi_ingest.jobs.follow.lists import Lists
from kalshi_ingest.jobs.follow.poller import Poller
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

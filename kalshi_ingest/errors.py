"""Every error that a caller treats differently, in one tree.

    IngestError                 what happened, to what, and what the user can do
    ├── Transient               trying again can help
    │   ├── RateLimited         the exchange answered 429
    │   ├── ServerFailed        the exchange answered 408, 425 or 5xx, or a body that is cut or not JSON
    │   └── Disconnected        no answer: refused, reset, timed out
    ├── Permanent               trying again cannot help
    │   ├── Rejected            the exchange answered another 4xx
    │   └── BadPayload          an answer breaks its contract; names the field
    ├── Unusable                stops the run: the user has to change something (exit 2)
    │   ├── ServiceUnusable     a service refuses every request from here, or another answers for it; `follow` waits
    │   └── DatabaseUnusable    it is the database: its address, a right, its schema
    │       └── SeriesTaken     another run works on the series
    └── OutOfReach              stops the run: exchange or database gone after all retries (exit 3)
        └── DatabaseAway        it is the database: away, read-only, locked or full, none of which lasts
            ├── DatabaseFull      it has no room
            └── DatabaseWentBack  it lacks what was committed: a failover or a restore

`Transient` and `Permanent` concern one request or one market: the others continue.
`Unusable` and `OutOfReach` concern the whole run.

Everything else that is raised, an error of SQL included, is a fault of the program (exit 70, with its traceback).
"""


class IngestError(Exception):
    """Base of every error this program raises on purpose; its text is written for the user."""


class Transient(IngestError):
    """Trying again can help."""


class RateLimited(Transient):
    """The exchange answered 429; `retry_after` is its own advice in seconds, which it rarely gives."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerFailed(Transient):
    """The exchange answered with a server error, or with a body that is cut short or is not JSON."""


class Disconnected(Transient):
    """No complete answer arrived: refused, reset or timed out."""


class Permanent(IngestError):
    """Trying again cannot help."""


class Rejected(Permanent):
    """The exchange refused the request; `status` is the HTTP status, `code` its own word if it gave one."""

    def __init__(self, message: str, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BadPayload(Permanent):
    """An answer breaks its contract. The message names the field and what was found in it."""


class Unusable(IngestError):
    """Wrong usage or configuration: the run cannot start until the user changes something."""


class ServiceUnusable(Unusable):
    """A service cannot be used from here: it has moved, refuses the key or the network, or is not what answers.

    Mostly a setting is wrong, and a command ends with 2 at once. But a network that asks its users to sign in, a
    gateway in trouble and a maintenance page look the same and pass by themselves, so `follow` waits.
    """


class DatabaseUnusable(Unusable):
    """The database cannot be used until a person changes its address, a right or its schema."""


class SeriesTaken(DatabaseUnusable):
    """Another run holds the lock of a series. `follow` waits for it; other commands say who it is, and end."""


class OutOfReach(IngestError):
    """The exchange or the database stayed away through every retry, or can take no more data."""


class DatabaseAway(OutOfReach):
    """The database stayed away, read-only or locked through every retry, or can take no more data."""


class DatabaseFull(DatabaseAway):
    """The database has no room, on its disk or in its memory, until a person frees some: not within a minute."""


class DatabaseWentBack(DatabaseAway):
    """The database lacks what this run has committed: a late standby took over, or an earlier state was restored.

    What the run knows of it is worth nothing any more; it has to start over from what the database holds.
    """

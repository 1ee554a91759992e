"""Which of several errors that came together ended a run."""

from kalshi_ingest.errors import IngestError


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the run: one written for the user before any other."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, IngestError)), leaves[0])

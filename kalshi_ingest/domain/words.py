"""Numbers in sentences, as every report and page says them."""


def counted(number: int, word: str) -> str:
    """`1 market`, `1,200 markets`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"

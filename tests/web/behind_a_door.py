"""The service's endpoints alone, in a process that may open few files: `python -m tests.web.behind_a_door FILES`.

It prints its address. A line `take` on its standard input makes it open every file that it still may, `free` closes
them again; it prints `done` after either.
"""

import asyncio
import os
import resource
import sys
from contextlib import suppress

from kalshi_ingest import logs
from kalshi_ingest.web.app import serving
from tests.web.support import following

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


async def main(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    logs.configure("json")
    taken: list[int] = []
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url:
        _say(url)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "take":
                with suppress(OSError):
                    while True:
                        taken.append(os.open(os.devnull, os.O_RDONLY))
            else:
                for each in taken:
                    os.close(each)
                taken.clear()
            _say("done")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

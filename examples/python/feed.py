#!/usr/bin/env python3
"""Streams the voltage of an imaginary battery into an agent, as the analytics of a real one would.

    feed.py                              sets battery_v over the gateway, 127.0.0.1:6390
    feed.py --connect 127.0.0.1:64000    sends pairs to an agent that listens for its source (listen: true)
    feed.py --serve 127.0.0.1:64000      waits for an agent that connects to its source, and sends pairs
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
import time
from typing import Callable, Iterator

from virgo import Client, PairStream, VirgoError


def voltages(full: float, empty: float, period: int) -> Iterator[float]:
    """Down from full to empty and up again, in `period` steps, for ever."""
    for step in itertools.count():
        yield round(empty + (full - empty) * (1 + math.cos(2 * math.pi * step / period)) / 2, 3)


def open_feed(options: argparse.Namespace) -> Callable[[float], None]:
    if options.serve is not None:
        stream = PairStream.serve(options.serve, bound=lambda where: print(f"waiting for an agent on {where}", flush=True))
        return lambda volts: stream.send({options.name: volts})
    if options.connect is not None:
        stream = PairStream.connect(options.connect)
        return lambda volts: stream.send({options.name: volts})
    agent = Client(options.address, user=os.environ.get("VIRGO_USER", "default"), token=os.environ.get("VIRGO_TOKEN"))
    return lambda volts: agent.set_variables({options.name: volts})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default=os.environ.get("VIRGO_ADDRESS", "127.0.0.1:6390"), help="the agent's gateway")
    parser.add_argument("--connect", metavar="HOST:PORT", help="send pairs there")
    parser.add_argument("--serve", metavar="HOST:PORT", help="wait there for the agent, and send pairs")
    parser.add_argument("--name", default="battery_v", help="the variable (battery_v)")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between values (0.5)")
    parser.add_argument("--count", type=int, default=None, help="values to send; for ever without it")
    parser.add_argument("--period", type=int, default=120, help="values from full to empty and back (120)")
    options = parser.parse_args()
    try:
        feed = open_feed(options)
        for volts in itertools.islice(voltages(12.6, 11.0, options.period), options.count):
            feed(volts)
            time.sleep(options.interval)
    except VirgoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())

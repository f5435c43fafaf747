"""A row of the failure matrix: what it found, and whether that is within its bounds."""
import contextlib
import random
import time

from load import percentile
from waiting import SLOW, scaled

QUICK_FACTOR = 4  # of a bound, in quick runs: other work on the machine takes its share
rows = {}


class Broken(AssertionError):
    """A count or a duration out of its bounds."""


def row(number, title):
    """Registers a function of (run) as a row."""
    def keep(function):
        rows[number] = (title, function)
        return function
    return keep


class Run:
    """One execution of a row."""

    def __init__(self, number, args, media, seed):
        self.number, self.args, self.media, self.seed = number, args, media, seed
        self.random = random.Random(seed)
        self.figures, self.broken = {}, []

    @property
    def quick(self):
        return self.args.quick

    def pick(self, quick, full):
        return quick if self.quick else full

    @property
    def rounds(self):
        return self.args.rounds

    def note(self, **figures):
        self.figures.update(figures)

    def exact(self, name, value, wanted=0):
        """A count that has one right value."""
        self.figures[name] = value
        if value != wanted:
            self.broken.append(f"{name} is {value}, not {wanted}")

    def at_most(self, name, value, most):
        self.figures[name] = value
        if value > most:
            self.broken.append(f"{name} is {value}, more than {most}")

    def at_least(self, name, value, least):
        self.figures[name] = value
        if value < least:
            self.broken.append(f"{name} is {value}, less than {least}")

    def within(self, name, ms, bound_ms):
        """A duration; sanitizers make it meaningless."""
        self.figures[name] = f"{ms:.0f}"
        bound_ms *= QUICK_FACTOR if self.quick else 1
        if not SLOW and not ms <= bound_ms:
            self.broken.append(f"{name} is {ms:.0f} ms, more than {bound_ms:.0f}")

    def times(self, name, values_ms, p99_bound_ms):
        """Durations, of which 99 % have to be within the bound."""
        p50, p99, most = (percentile(values_ms, p) for p in (50, 99, 100))
        self.within(name, p99, p99_bound_ms)
        self.figures[name] = f"p50={p50:.0f} p99={p99:.0f} max={most:.0f}"

    def line(self):
        words = []
        for name, value in self.figures.items():
            words.append(f"{name} {value}" if "=" in str(value) else f"{name}={value}")
        return f"row {self.number}: " + " ".join(words)

    def sleep(self, seconds):
        """The time a fault lasts."""
        time.sleep(seconds)


@contextlib.contextmanager
def step(run, name):
    """Says in a failure where it was."""
    try:
        yield
    except AssertionError as e:
        raise AssertionError(f"{name}: {e}") from None

"""Which detector catches which attack: on inputs, on models, and on both at once.

    >>> import evil_twins as et
    >>> result = et.run("quick")                  # or: et.load("results/reference/quick")
    >>> result.rates.query("detector == 'any'")   # pandas frames
    >>> result.plot("detection-phi").savefig("rates.png")
    >>> et.check(network, (x, y))                 # a trained network and arrays, from memory
    >>> et.evaluate(network, (x, y)).rates

The names below load neither torch nor pandas until they are used.
"""

from importlib.metadata import version

from evil_twins.bench.errors import UserError
from evil_twins.checking import check
from evil_twins.evaluation import evaluate
from evil_twins.result import Result, load, run

__all__ = ["Result", "UserError", "__version__", "check", "evaluate", "load", "run"]

__version__ = version("evil-twins")

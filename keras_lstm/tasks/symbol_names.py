"""Names of symbols, and sequences of them as text."""

from typing import Any, ClassVar

import numpy as np


class SymbolNames:
    """How a task writes its symbols: by default as digits of a number.

    Attributes:
        separator: text between the names of symbols.
        writes_numbers: whether a sequence of bits stands for a number.
    """

    separator: ClassVar[str] = ""
    writes_numbers: ClassVar[bool] = True

    def as_written(self, values: Any) -> Any:
        """Return values by time step in the order of writing.

        Args:
            values: `(timesteps,)`, in the order of reading.

        Returns:
            The values, most significant first.
        """
        return values[::-1]

    def symbol_name(self, symbol: int) -> str:
        """Return the name of an input symbol, by default its number."""
        return str(symbol)

    def output_name(self, symbol: int) -> str:
        """Return the name of an output symbol, by default its number."""
        return str(symbol)

    def names_of(self, symbols: Any, outputs: bool = False) -> list[str]:
        """Return the names of symbols, in the order of writing.

        Args:
            symbols: `(timesteps,)`, in the order of reading; -1 where a logit
                is NaN.
            outputs: whether they are output symbols.

        Returns:
            The names, "?" for -1.
        """
        name = self.output_name if outputs else self.symbol_name
        written = self.as_written(np.asarray(symbols)).tolist()
        return ["?" if each < 0 else name(each) for each in written]

    def text_of(self, symbols: Any, outputs: bool = False) -> str:
        """Return a sequence as text, in the order of writing.

        Args:
            symbols: as for `names_of`.
            outputs: as for `names_of`.

        Returns:
            The names, joined by `separator`.
        """
        return self.separator.join(self.names_of(symbols, outputs))

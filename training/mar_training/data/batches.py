"""Documents packed into rows, in an order that depends on the seed alone."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import jax
import numpy as np

from mar_training.data.shards import Shard
from mar_training.data.tokenizer import REPLY
from mar_training.errors import MarError
from mar_training.model import PADDING


@jax.tree_util.register_dataclass
@dataclass
class Batch:
    """Rows for one step, all [b, l].

    tokens; segment, which document of the row a token belongs to (`PADDING` where none); target, the next token of
    the same document; weight, 1 where the loss counts that target; reply, 1 where the target is the assistant's.
    """

    tokens: np.ndarray
    segment: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    reply: np.ndarray


def source_weight(weights: dict[str, float], name: str) -> float:
    """How many times an epoch takes the source `name`: its own weight, its family's, the default's, or 1."""
    return weights.get(name, weights.get(name.split("/")[0], weights.get("", 1.0)))


@dataclass
class Packer:
    """Rows of `length` tokens from a shard: epoch by epoch, shuffled by `seed`, sources weighted.

    `weights` maps a source's name, or its beginning up to a slash, to how many times an epoch takes it (0.3: each
    document with that chance); `""` is the default. Documents longer than a row are cut to it.
    """

    shard: Shard
    length: int
    seed: int
    weights: dict[str, float] = field(default_factory=dict)
    loss_on: str = "all"

    def __post_init__(self) -> None:
        """Checks the weights' names, so that a typing error does not train on the wrong mixture."""
        known = {s["name"] for s in self.shard.sources} | {s["name"].split("/")[0] for s in self.shard.sources}
        for name in self.weights:
            if name and name not in known:
                raise MarError(f"data weights: no source {name!r}; the shard has {', '.join(sorted(known))}")
            if not isinstance(self.weights[name], int | float) or self.weights[name] < 0:
                raise MarError(f"data weights: {name!r} must be a number of at least 0, not {self.weights[name]!r}")
        if self.loss_on not in ("all", "assistant"):
            raise MarError(f"loss_on must be 'all' or 'assistant', not {self.loss_on!r}")
        self._epoch: tuple[int, list[list[int]]] = (-1, [])
        self._row_counts: dict[int, int] = {}

    def _copies(self, rng: np.random.Generator) -> np.ndarray:
        by_source = np.array([source_weight(self.weights, s["name"]) for s in self.shard.sources])
        weight = by_source[self.shard.source]
        return np.floor(weight + rng.random(len(weight))).astype(np.int64)

    def rows_of_epoch(self, epoch: int) -> list[list[int]]:
        """Document numbers of each row. Best fit among a bounded set of open rows keeps padding under 1-2%."""
        if self._epoch[0] == epoch:
            return self._epoch[1]
        rng = np.random.default_rng([self.seed, epoch])
        order = np.repeat(np.arange(len(self.shard)), self._copies(rng))
        rng.shuffle(order)
        lengths = np.minimum(np.diff(self.shard.starts), self.length)
        rows: list[list[int]] = []
        open_rows: list[tuple[int, list[int]]] = []  # (room left, documents), least room first
        for doc in order.tolist():
            need = int(lengths[doc])
            place = bisect.bisect_left(open_rows, need, key=lambda row: row[0])
            room, docs = open_rows.pop(place) if place < len(open_rows) else (self.length, [])
            docs.append(doc)
            bisect.insort(open_rows, (room - need, docs), key=lambda row: row[0])
            if len(open_rows) > 64:
                rows.append(open_rows.pop(0)[1])
        rows += [docs for _, docs in open_rows]
        # The last rows to close are the emptiest; shuffled, they spread over the epoch.
        self._epoch = (epoch, [rows[i] for i in rng.permutation(len(rows))])
        return self._epoch[1]

    def batch(self, index: int, rows: int) -> Batch:
        """The `index`-th batch of `rows` rows since the beginning; a function of its arguments alone."""
        epoch = 0
        while index >= (available := self._batches_in(epoch, rows)):
            index -= available
            epoch += 1
        return self.assemble(self.rows_of_epoch(epoch)[index * rows : (index + 1) * rows])

    def _batches_in(self, epoch: int, rows: int) -> int:
        if epoch not in self._row_counts:
            self._row_counts[epoch] = len(self.rows_of_epoch(epoch))
        available = self._row_counts[epoch] // rows
        if available == 0:
            raise MarError(f"the data fills {self._row_counts[epoch]} rows of {self.length}, under a batch of {rows}")
        return available

    def assemble(self, rows: list[list[int]]) -> Batch:
        """The batch of rows given as lists of document numbers."""
        shape = (len(rows), self.length)
        tokens = np.zeros(shape, np.int32)
        segment = np.full(shape, PADDING, np.int32)
        roles = np.zeros(shape, np.uint8)
        for row, docs in enumerate(rows):
            at = 0
            for number, doc in enumerate(docs):
                start = self.shard.starts[doc]
                size = min(int(self.shard.starts[doc + 1] - start), self.length)
                tokens[row, at : at + size] = self.shard.tokens[start : start + size]
                roles[row, at : at + size] = self.shard.roles[start : start + size]
                segment[row, at : at + size] = number
                at += size
        return make_batch(tokens, segment, roles, self.loss_on)


def make_batch(tokens: np.ndarray, segment: np.ndarray, roles: np.ndarray, loss_on: str = "all") -> Batch:
    """Shifts rows into inputs and targets; a document's first token is nobody's target."""
    target = np.roll(tokens, -1, axis=1)
    follows = np.zeros(tokens.shape, bool)
    follows[:, :-1] = (segment[:, 1:] == segment[:, :-1]) & (segment[:, 1:] < PADDING)
    reply = follows & (np.roll(roles, -1, axis=1) == REPLY)
    weight = reply if loss_on == "assistant" else follows
    return Batch(tokens, segment, target, weight.astype(np.float32), reply.astype(np.float32))

"""From raw examples to their features in a store: what is there already is found, the rest is computed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdw.backbones.backbone import Backbone
from gdw.data.features.digests import Digests, as_array, as_bytes
from gdw.data.features.inputs import FeatureRows
from gdw.data.features.network import NetworkAtWork
from gdw.data.features.raw import RawExamples
from gdw.data.features.reporting import Reporter
from gdw.data.features.shard import Features
from gdw.data.features.store import FeatureStore
from gdw.data.features.views import keys_of_views, view
from gdw.data.source import chunks
from gdw.errors import DataError, counted
from gdw.files.memory import local_processes, usable_cores
from gdw.seeding import generator

# A shard is written after so many rows or seconds, whatever comes first: more would be lost by a kill.
ROWS, SECONDS = 2000, 20.0
# Processes that train together share the work: each writes so many shards, and looks so often, in seconds.
_PARTS, _OFTEN = 8, 0.5
# The examples that a thread reads at a time for their digests.
_CHUNK = 256
# The seconds between two looks for the features that other processes have computed.
_BETWEEN_LOOKS = 10.0

Items = NDArray[np.int64]
"""Positions in the flattened keys `(N * V,)`: one for each view of each example."""


@dataclass(frozen=True, eq=False)
class Request:
    """The features that are wanted.

    Attributes:
        raw: the N examples.
        views: V, the number of views of each example.
        seed: of the views.
    """

    raw: RawExamples
    views: int = 1
    seed: int = 0

    @property
    def noun(self) -> str:
        """What the examples are, with their number: "5,000 images"."""
        what = counted(len(self.raw), self.raw.noun)
        return what if self.views == 1 else f"{self.views} views of {what}"

    def keys(self, reporter: Reporter) -> Digests:
        """The digests `(N, V)` of all views. Examples are read by several threads, but not decoded."""
        reporter.begin(f"reading {self.noun}", len(self.raw), announced=False)
        found = []
        with ThreadPoolExecutor(usable_cores() + 1) as pool:
            pending: deque[Future[Digests]] = deque()
            try:
                for chunk in chunks(len(self.raw), _CHUNK):
                    pending.append(pool.submit(self.raw.digests, chunk))
                    if len(pending) > 4 * usable_cores():
                        found.append(pending.popleft().result())
                        reporter.advance(len(found[-1]))
                found += [future.result() for future in pending]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                reporter.end()
        return keys_of_views(np.concatenate([as_array(()), *found]), self.views, self.seed)

    def read(self, items: Items, keys: Digests) -> list[object]:
        """The raw views at `items` `(B,)`; `keys` are those of all items."""
        positions, back = np.unique(items // self.views, return_inverse=True)
        examples = self.raw.read(positions)
        names = as_bytes(keys[items])
        return [
            view(examples[at], name, self.seed) if item % self.views else examples[at]
            for item, at, name in zip(items.tolist(), back.tolist(), names, strict=True)
        ]

    def ordered(self, items: Items, size: int) -> Items:
        """The items in the order of the work. Batches have texts of similar length, and are shuffled.

        So little of a batch is padding, and the time that is left can be told from the first batches.
        """
        lengths = self.raw.lengths(items // self.views)
        if lengths is None:
            return items
        items = items[np.argsort(lengths, kind="stable")]
        batches = [items[i : i + size] for i in range(0, len(items), size)]
        order = generator(0, "batches of texts").permutation(len(batches))
        return np.concatenate([batches[k] for k in order])


def feature_rows(request: Request, backbone: Backbone, reporter: Reporter) -> FeatureRows:
    """The features of examples by `backbone` in float32, from the cache or computed.

    Raises:
        DataError, OutputError: as `find_or_compute`.
    """
    store = FeatureStore(backbone.name, backbone.fingerprint, backbone.width, say=reporter.note)
    return find_or_compute(request, store, lambda: backbone, reporter)


def find_or_compute(
    request: Request,
    store: FeatureStore,
    load: Callable[[], Backbone],
    reporter: Reporter,
) -> FeatureRows:
    """The features of all views in `store`, after those that are missing were computed.

    Args:
        request: the examples.
        store: of the backbone.
        load: gives the backbone. It is called only if there is something to compute.
        reporter: what the user sees.

    Raises:
        DataError: an example cannot be read, or its features are not finite.
        OutputError: the features can be kept nowhere.
    """
    keys = request.keys(reporter).ravel()
    backbone = None
    while True:
        place = store.find(keys)
        if len(place.missing):
            missing, known = _once(place.missing, keys), len(keys) - len(place.missing)
            store.require_room(len(missing))
            backbone = backbone or load()
            _Computation(request, keys, store, backbone, reporter).run(missing, known)
        elif store.verify(np.unique(place.shard).tolist()):
            store.touch()
            return FeatureRows(store.shards, place, request.views, store.width)


def _once(items: Items, keys: Digests) -> Items:
    """One item for each key, in their order. Each of several processes begins at another place."""
    _, first = np.unique(keys[items], return_index=True)
    rank = int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0)
    chosen: Items = items[np.sort(first)]
    return np.roll(chosen, -(rank * len(chosen) // local_processes()))


class _Computation:
    """The computation of the features of the views that are missing in a store."""

    def __init__(
        self,
        request: Request,
        keys: Digests,
        store: FeatureStore,
        backbone: Backbone,
        reporter: Reporter,
    ) -> None:
        self._request, self._keys, self._store = request, keys, store
        self._backbone, self._reporter = backbone, reporter
        self._waiting: list[tuple[Items, Features, NDArray[np.bool_]]] = []
        self._written = time.monotonic()
        self._rows, self._between_looks = ROWS, _BETWEEN_LOOKS

    def run(self, items: Items, known: int) -> None:
        """Compute and keep them. What is done is kept too when this is interrupted.

        Args:
            items: what is missing.
            known: how many items the store has.
        """
        more = f" by {self._backbone.name}" + (f" ({known:,} in the cache)" if known else "")
        self._reporter.begin(f"features of {self._request.noun}", len(items), more=more)
        if local_processes() > 1:
            self._rows = min(ROWS, max(1, len(items) // (_PARTS * local_processes())))
            self._between_looks = _OFTEN
        done = 0
        try:
            with NetworkAtWork(self._backbone, self._store.precision) as network:
                for batch, rows, cut in self._computed(network, items):
                    self._require_finite(batch, rows)
                    self._waiting.append((batch, rows, cut))
                    done += len(batch)
                    if self._is_due():
                        self._flush()
                    self._reporter.advance(len(batch))
            self._flush()
        except KeyboardInterrupt:
            self._flush()
            self._reporter.end()
            self._reporter.say(
                f"stopped: the features of {done:,} of {counted(len(items), self._request.raw.noun)} are "
                "kept in the cache; the same command goes on from there"
            )
            raise
        except BaseException:
            self._flush()
            raise
        finally:
            self._reporter.end()

    def _computed(
        self, network: NetworkAtWork, items: Items
    ) -> Iterator[tuple[Items, Features, NDArray[np.bool_]]]:
        def compute(batch: Items) -> tuple[Items, Features, NDArray[np.bool_]]:
            return batch, *network.features(self._request.read(batch, self._keys))

        pool = ThreadPoolExecutor(network.workers, initializer=network.prepare_thread)
        pending: deque[Future[tuple[Items, Features, NDArray[np.bool_]]]] = deque()
        try:
            for batch in self._batches(self._request.ordered(items, network.batch_size), network):
                pending.append(pool.submit(compute, batch))
                if len(pending) > network.workers + 2:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _batches(self, items: Items, network: NetworkAtWork) -> Iterator[Items]:
        """The items batch by batch, without those that another process computes in the meantime."""
        looked = time.monotonic()
        while len(items):
            if time.monotonic() - looked > self._between_looks:
                looked = time.monotonic()
                if self._store.refresh():
                    left = self._store.find(self._keys[items]).missing
                    self._reporter.advance(len(items) - len(left))
                    items = items[left]
            if len(items):
                yield items[: network.batch_size]
            items = items[network.batch_size :]

    def _is_due(self) -> bool:
        rows = sum(len(batch) for batch, _, _ in self._waiting)
        return rows >= self._rows or time.monotonic() - self._written >= SECONDS

    def _flush(self) -> None:
        """Keep what is computed as one shard."""
        waiting, self._waiting = self._waiting, []
        self._written = time.monotonic()
        if waiting:
            items, rows, cut = (np.concatenate(part) for part in zip(*waiting, strict=True))
            self._store.add(self._keys[items], rows, cut)

    def _require_finite(self, batch: Items, rows: Features) -> None:
        odd = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(odd):
            where = self._request.raw.where(int(batch[odd[0]]) // self._request.views)
            raise DataError(
                f"{where}: {self._backbone.name} gives features that are not finite: expected numbers; "
                "choose another backbone, or leave the example out"
            )

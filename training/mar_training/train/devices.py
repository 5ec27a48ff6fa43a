"""Where arrays live: one mesh over all devices of all hosts, batches split over it, parameters everywhere."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mar_training.errors import MarError


def start(cpu_devices: int = 0, coordinator: str = "", process: int = 0, processes: int = 1) -> None:
    """Must run before anything else touches JAX.

    `cpu_devices` > 0 splits the CPU into that many devices: element-wise work then uses as many cores. With
    `coordinator` ("host:port") this process joins `processes` others by `jax.distributed`.
    """
    if cpu_devices and cpu_devices != jax.config.jax_num_cpu_devices:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    if coordinator:
        jax.distributed.initialize(coordinator, processes, process)


@contextmanager
def compiled_once(folder: Path):
    """Keeps what is compiled in `folder`, unless the caller keeps it elsewhere: later and resumed runs load it.

    Not for several devices of one CPU. A program that was loaded may begin its collectives in another order on each of
    them, and where all threads wait in one, none is left for another (jaxlib 0.10).
    """
    shares_a_cpu = jax.default_backend() == "cpu" and jax.local_device_count() > 1
    if jax.config.jax_compilation_cache_dir or shares_a_cpu:
        yield
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    try:
        yield
    finally:
        jax.config.update("jax_compilation_cache_dir", None)


def on_any_host(flag: bool) -> bool:
    """Whether `flag` is set on any host; every host must ask, and hosts wait here for one another."""
    return flag if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(flag)).any())


class DataParallel:
    """Data parallelism over every device of every host; with one device it is plain execution."""

    def __init__(self, devices: list[jax.Device] | None = None) -> None:
        """Over `devices`, by default all there are."""
        self.mesh = Mesh(np.array(devices or jax.devices()), ("data",))
        self._everywhere = NamedSharding(self.mesh, PartitionSpec())

    def check_rows(self, rows: int) -> None:
        """Refuses a batch that does not divide evenly."""
        if rows % self.mesh.size:
            raise MarError(f"[train] rows = {rows} must be a multiple of the {self.mesh.size} devices")

    def replicate(self, tree):
        """A copy of every array on every device."""
        return jax.device_put(tree, self._everywhere)

    def split_rows(self, tree, axis: int):
        """Arrays whose `axis` counts rows, spread over the devices; each host contributes its own share."""
        sharding = NamedSharding(self.mesh, PartitionSpec(*[None] * axis, "data"))

        def place(array):
            array = np.asarray(array)
            share = array.shape[axis] // jax.process_count()
            first = share * jax.process_index()
            local = np.take(array, np.arange(first, first + share), axis=axis)
            return jax.make_array_from_process_local_data(sharding, local, array.shape)

        return jax.tree.map(place, tree)

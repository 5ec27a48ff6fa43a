"""A run over several hosts, here processes with one CPU device each, that share the run's folder."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file

from mar_training.train import checkpoint
from mar_training.train.stages import train_dense

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run_hosts(*arguments, last=()):
    """Runs both hosts, the second with the arguments `last` more; returns exit codes and what they said."""
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(HERE.parent),
    }
    hosts = [
        subprocess.Popen(
            [sys.executable, HERE / "host.py", *arguments, address, str(i), *(last if i else ())],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    try:
        said = [host.communicate(timeout=300)[0] for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    return [host.returncode for host in hosts], said


def test_two_hosts_stop_together_go_on_and_end_where_one_does(data_folder, make_recipe, tmp_path):
    """And only the first of them writes and prints the log."""
    recipe = make_recipe("dense", train={"steps": 5, "log_every": 1, "checkpoint_every": 5})
    (tmp_path / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe)))
    arguments = (tmp_path / "recipe.json", data_folder, tmp_path / "two")

    codes, said = run_hosts(*arguments, last=["2"])
    assert codes == [1, 1], "\n".join(said)
    assert all("stopped at step 3" in text for text in said)
    assert checkpoint.latest(tmp_path / "two").name == "step-0000003.safetensors"

    codes, said = run_hosts(*arguments)
    assert codes == [0, 0], "\n".join(said)
    assert "step      5/5" in said[0]
    assert "step  " not in said[1]
    lines = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 3, 4, 5, 5]

    train_dense(recipe, data_folder, tmp_path / "one", quiet=True)
    one, two = (load_file(tmp_path / name / "final.safetensors") for name in ("one", "two"))
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)

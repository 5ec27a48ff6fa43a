"""One of two hosts of a dense run: host.py RECIPE.json DATA FOLDER COORDINATOR PROCESS [STEP TO STOP AT]."""

import json
import os
import signal
import sys
from pathlib import Path

from mar_training.train import devices
from mar_training.train.loop import Interrupted, Trainer
from mar_training.train.recipe import recipe_from_dict
from mar_training.train.stages import train_dense

recipe, data, folder = map(Path, sys.argv[1:4])
devices.start(coordinator=sys.argv[4], process=int(sys.argv[5]), processes=2)
real = Trainer._batch


def with_signal(trainer, step):
    """The trainer's own batch, but at the given step this host alone is asked to stop."""
    if sys.argv[6:] == [str(step)]:
        os.kill(os.getpid(), signal.SIGTERM)
    return real(trainer, step)


Trainer._batch = with_signal
try:
    train_dense(recipe_from_dict(json.loads(recipe.read_text()), recipe.name), data, folder)
except Interrupted as e:
    sys.exit(str(e))

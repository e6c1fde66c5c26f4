"""Turn a finished run into weights that ship: half precision, with a manifest of how they were made and what they do.

    python -m coldlab train --steps 2000 --rounded 0.2 --out runs/digits-blur
    python tools/publish.py runs/digits-blur

writes coldlab/weights/DATASET-DEGRADATION.safetensors and results/DATASET-DEGRADATION.json. The metrics in the manifest
are those of the published file on the test set.
"""

import dataclasses
import json
import sys
from pathlib import Path

from coldlab import checkpoints, data, evaluation

ROOT = Path(__file__).resolve().parent.parent


def publish(run: Path) -> None:
    R = checkpoints.load_weights(run / "model.safetensors")
    config, name = R.config, f"{R.config.dataset}-{R.config.degradation}"
    weights = ROOT / f"coldlab/weights/{name}.safetensors"
    weights.parent.mkdir(exist_ok=True)
    checkpoints.save_weights(weights, R, config, half=True)
    R = checkpoints.load_weights(weights)
    images, _ = data.load(config.dataset, "test", config.size, config.zoom)
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    made = json.loads((run / "config.json").read_text())
    manifest = {
        "name": name,
        "command": "python -m coldlab train " + " ".join(flags(config)),
        "config": dataclasses.asdict(config),
        "machine": made["machine"],
        "seconds": last["seconds"],
        "images_seen": config.steps * config.batch,
        "final_training_loss": last["loss"],
        "test_images": len(images),
        "metrics": evaluation.evaluate(R, R.D, images),
    }
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / f"results/{name}.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{weights.relative_to(ROOT)}: {weights.stat().st_size / 1e6:.2f} MB; results/{name}.json")


def flags(config) -> list[str]:
    """The flags that differ from the defaults and are not filled in from the data."""
    given = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in ("size", "channels", "zoom") or value == field.default:
            continue
        flag = "--" + field.name.replace("_", "-")
        if isinstance(value, bool):
            given.append(flag if value else "--no-" + flag[2:])
        else:
            given.append(f"{flag} {' '.join(map(str, value)) if isinstance(value, tuple) else value}")
    return given


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    publish(Path(sys.argv[1]))

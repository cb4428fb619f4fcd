"""Make the weights of the reader of letters: `python make_reader.py`. They are stored in half precision."""

import sys

from safetensors.torch import save_file

from saccade.tasks.pen.reader import WEIGHTS, train_reader


def main() -> None:
    save_file({name: weight.half().contiguous() for name, weight in train_reader().state_dict().items()}, WEIGHTS)
    sys.stdout.write(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()

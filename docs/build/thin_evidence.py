"""Write the evidence of before in its new form, once: `python docs/build/thin_evidence.py`. Figures stay as they are.

Arrays stand on one line. What was a look is a picture; what was measured beside the score is a study; series have
names. A file that is still larger than 30 kB loses the looks of `--over` that no page draws, and of the ways to read
alignments that were not chosen all but the error rates; a field says so.
"""

import json
from pathlib import Path
from typing import Any

LARGEST = 30_000
NAMES = {"bleu": "BLEU", "bleu_no_unknown": "BLEU without unknown words", "chrf": "chrF", "right": "answers right",
         "aligned": "looks at the right place", "attention_entropy": "attention entropy"}  # fmt: skip
UNITS = {"latency": "s", "attention_entropy": "nats", "nats_per_step": "nats", "nats_per_line": "nats",
         "memoryless": "nats", "gain": "nats"}  # fmt: skip
UNITS |= dict.fromkeys(
    ("label_error_rate", "right", "substitutions", "deletions", "insertions", "aligned", "ended", "read", "reader"), "%"
)


def picture(look: dict[str, Any]) -> dict[str, Any]:
    kind = "sound" if "step" in look else "alignment"
    return {"kind": kind, "name": kind, "title": "", **look}


def renewed(old: dict[str, Any]) -> dict[str, Any]:
    if "figures" in old:
        return old
    test = dict(old["metrics"]["test"])
    series, studies = {}, {}
    if rows := test.pop("by_length", None):
        series["by_length"] = {
            "x": [row["words"] for row in rows], "y": [row["bleu"] for row in rows],
            "x_label": "words of the source", "y_label": "BLEU", "kind": "curve",
            "counts": [row["sentences"] for row in rows],
        }  # fmt: skip
    if rows := test.pop("latencies", None):
        series["latencies"] = {
            "x": [row["seconds"] for row in rows], "y": [row["labels"] for row in rows],
            "x_label": "delay of a label (seconds)", "y_label": "labels", "kind": "histogram", "counts": [],
        }  # fmt: skip
    if over := test.pop("over", None):
        for found in over.values():
            for row in found["rows"]:
                if look := row.pop("look", None):
                    row["picture"] = picture(look)
        gradients = {key: found for key, found in over.items() if key.startswith("symbols_after")}
        rest = {key: found for key, found in over.items() if key not in gradients}
        studies |= ({"over": rest} if rest else {}) | ({"gradients": gradients} if gradients else {})
    if alignment := test.pop("alignment", None):
        studies["alignments"] = alignment
    new = {}
    for key, value in old.items():
        if key == "look":
            continue
        new["counted_per_second" if key == "tokens_per_second" else key] = value
        if key == "metrics":
            new["metrics"] = {"test": test}
            new["figures"] = {
                name: {"name": NAMES.get(name, name.replace("_", " ")), "unit": UNITS.get(name, "")}
                for name in test if name in NAMES or name in UNITS
            }  # fmt: skip
            new["series"] = series
            new["studies"] = studies
            new["pictures"] = [picture(old["look"])] if "look" in old else []
    return new


def thinned(new: dict[str, Any]) -> dict[str, Any]:
    over = new["studies"].get("over", {})
    for key, found in over.items():
        for row in found["rows"]:
            if "picture" in row and (key, row["value"]) != ("task.times_as_long", "4"):
                del row["picture"]
                new["thinned"] = True
    if len(text_of(new)) <= LARGEST:
        return new
    alignment = new["studies"].get("alignments", {})
    for part in (alignment, alignment.get("reverse", {})):
        for name, reading in part.get("readings", {}).items():
            part["readings"][name] = {side: {"aer": reading[side]["aer"]} for side in reading if side != "first"}
            new["thinned"] = True
    return new


def text_of(record: Any) -> str:
    """JSON whose arrays, and short records of numbers and words, stand on one line each."""
    return written(record, 0) + "\n"


def written(value: Any, depth: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    plain = not any(isinstance(one, dict | list) for one in inner)
    if plain and (isinstance(value, list) or len(line) < 100) or not inner:
        return line
    pad, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(value, list):
        return "[" + pad + f",{pad}".join(written(one, depth + 1) for one in value) + end + "]"
    rows = (f"{json.dumps(key, ensure_ascii=False)}: {written(one, depth + 1)}" for key, one in value.items())
    return "{" + pad + f",{pad}".join(rows) + end + "}"


for path in sorted(Path("src/saccade/systems").glob("*/evidence/*.json")):
    old = json.loads(path.read_text(encoding="utf-8"))
    new = renewed(old)
    if len(text_of(new)) > LARGEST:
        new = thinned(new)
    text = text_of(new)
    assert json.loads(text) == new
    assert len(text.encode()) <= LARGEST, (path, len(text))
    path.write_text(text, encoding="utf-8")

"""The whole bAbI set from the hub: a configuration a task, a row a story.

A row has the column `story`: for each line its `id`, its `type` (0 a sentence, 1 a question), `text`, `answer` and
`supporting_ids`. Data sets that are made by a script, as this one is, are read from the Parquet files that the hub
keeps beside them, since its library no longer runs scripts.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from saccade.core.errors import InvalidInput, require
from saccade.tasks.babi.stories import Story, parse

FILES = "hf://datasets/{dataset}@~parquet/{language}-qa{task}/{split}/*.parquet"


def from_hub(dataset: str, tasks: Sequence[int], split: str, questions: str) -> dict[int, list[Story]]:
    """The stories of some tasks of the whole set, "train" or "test".

    Raises:
        MissingExtra: the hub's library is not installed.
        InvalidInput: it could not be read, or has another form.
    """
    datasets: Any = require("datasets", "hub")
    language = "en" if questions == "1k" else "en-10k"
    found = {}
    for task in tasks:
        files = FILES.format(dataset=dataset, language=language, task=task, split=split)
        try:
            rows = datasets.load_dataset("parquet", data_files={split: files}, split=split)
        except Exception as error:  # network, authentication and missing data sets raise different classes
            raise InvalidInput(
                f"task {task} of {dataset} could not be downloaded from the hub ({type(error).__name__}: {error}); "
                "name a folder that contains bAbI: --task.folder FOLDER"
            ) from error
        try:
            lines = [line for row in rows for line in lines_of(row["story"])]
        except (KeyError, TypeError) as error:
            raise InvalidInput(
                f"{dataset} of the hub is not bAbI: expected a column 'story' with id, type, text, answer and "
                f"supporting_ids ({type(error).__name__}: {error})"
            ) from error
        found[task] = parse(lines, f"{dataset} of the hub, {language}-qa{task}, {split}")
    return found


def lines_of(story: Any) -> Iterator[str]:
    """The lines of a story as they stand in the files of bAbI; it comes as a record of columns or a list of records."""
    if isinstance(story, dict):
        story = [dict(zip(story, values, strict=True)) for values in zip(*story.values(), strict=True)]
    for line in story:
        number, text = line["id"], " ".join(str(line["text"]).split())
        if int(line["type"]) == 1:
            yield f"{number} {text}\t{line['answer']}\t{' '.join(map(str, line['supporting_ids']))}"
        else:
            yield f"{number} {text}"

"""Named entities: a tag for each word of a sentence. WNUT-17, or CoNLL files of one's own."""

from saccade.tasks.entities.config import EntitiesConfig
from saccade.tasks.entities.task import Batch, EntitiesTask, Example

__all__ = ["Batch", "EntitiesConfig", "EntitiesTask", "Example"]

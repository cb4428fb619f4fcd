"""Photos with captions: files that are read when they are needed, the same way for training and for a user's."""

from saccade.tasks.captions.config import CaptionsConfig
from saccade.tasks.captions.source import Source
from saccade.tasks.image_file import contents
from saccade.tasks.images.pixels import Pixels, decoded, fitted

WIDEST = 4  # a longer side is cut to this many times the shorter one before it is scaled, for memory


def read_photo(raw: str | bytes, size: int) -> Pixels:
    """The middle square of an image in colour, scaled to `size` x `size` pixels.

    Raises:
        NotFound: no such file.
        InvalidInput: not an image, damaged, or too large.
    """
    found = decoded(contents(raw), "the image" if isinstance(raw, bytes) else raw.strip(), 3)
    image, notes, (height, width) = found.image, found.notes, found.image.shape[1:]
    if height != width:
        notes = (*notes, f"the middle of {width} x {height} pixels")
        tall, wide = min(height, WIDEST * width), min(width, WIDEST * height)
        top, left = (height - tall) // 2, (width - wide) // 2
        image = image[:, top : top + tall, left : left + wide]
    return Pixels(fitted(image, size).contiguous(), notes)


class PhotoSource:
    @classmethod
    def of(cls, config: CaptionsConfig, size: int) -> Source:
        raise NotImplementedError

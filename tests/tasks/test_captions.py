"""Captions of scenes: what is drawn, what is said of it, and what is judged."""

from pathlib import Path

import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.core.task import Answered, Learning, Legible, Proposing, Readable, Task
from saccade.tasks.captions import Box, CaptionsConfig, CaptionsTask, Said, grammar, scenes
from saccade.tasks.captions.grammar import Thing, boxes, judged, parsed, wrong_word
from saccade.tasks.captions.words import END, PAD, START, UNKNOWN, Words, words_of

SMALL = CaptionsConfig(scenes=40, judged=12)
CROSS = Thing("small", "red", "cross", Box(4, 4, 18, 18))
SQUARE = Thing("large", "blue", "square", Box(30, 36, 54, 60))
CIRCLE = Thing("small", "green", "circle", Box(44, 4, 58, 18))
SCENE = (CROSS, SQUARE, CIRCLE)


@pytest.fixture(scope="module")
def task() -> CaptionsTask:
    return CaptionsTask(SMALL)


class TestWords:
    def test_lower_case_without_punctuation(self) -> None:
        assert words_of("A dog's T-shirt , isn't IT ?") == ["a", "dog's", "t", "shirt", "isn't", "it"]

    def test_other_scripts(self) -> None:
        assert words_of("Zwei Mädchen; 一只狗 l’été") == ["zwei", "mädchen", "一", "只", "狗", "l'été"]
        # vowel signs and accents continue a word
        assert words_of("दौड़ रही है") == ["दौड़", "रही", "है"]
        assert words_of("İstanbul'da ẹ̀ka ภาษาไทย") == ["istanbul'da", "ẹ̀ka", "ภาษาไทย"]

    def test_the_most_frequent_words_that_are_not_rare(self) -> None:
        words = Words.learn(["a dog a cat", "a dog", "the cat runs"], rarest=2, most=2)
        assert words.words[4:] == ("a", "cat")
        assert words.encode(["a", "dog", "cat"]) == (4, UNKNOWN, 5)
        assert words.decode([START, 4, UNKNOWN, END, PAD]) == ["a", "<unk>"]


class TestGrammar:
    @pytest.mark.parametrize(
        ("caption", "objects", "true"),
        [
            ("a small red cross to the left of a blue square", True, True),
            ("a red cross is above a large blue square and over a green circle", True, True),
            ("there is a blue square right of a green circle", True, True),
            ("a red cross is right of a blue square", True, False),
            ("a red cross above a blue square and below a green circle", True, False),
            ("a large red cross above a blue square", False, False),  # another size
            ("a red square above a blue square", False, False),  # not there
            ("a red cross above a red cross", False, False),  # twice the same
            ("a red cross", False, False),
            ("a red cross above a blue", False, False),
            ("red cross above a blue square", False, False),
            ("a red cross left to a blue square", False, False),
            ("", False, False),
        ],
    )
    def test_a_caption_is_judged_without_references(self, caption: str, objects: bool, true: bool) -> None:
        assert judged(caption, SCENE) == (objects, true)

    @pytest.mark.parametrize(
        ("caption", "word"),
        [
            ("a small red cross to the left of a blue square", None),
            ("a red cross is to the right of a blue square", "right"),
            ("there is a red cross above a blue square and below a green circle", "below"),
            ("a large red cross above a blue square", "large"),
            ("a red square above a blue square", "red"),
            ("a purple triangle above a blue square", "triangle"),
            ("a red cross right of a small yellow square", "yellow"),
            ("a red cross above a red cross", "cross"),
            ("red cross above a blue square", "red"),
        ],
    )
    def test_the_first_word_that_does_not_hold(self, caption: str, word: str | None) -> None:
        place = wrong_word(caption, SCENE)
        assert (None if place is None else caption.split()[place]) == word
        assert wrong_word("", SCENE) == 0

    def test_in_a_diagonal_two_relations_hold(self) -> None:
        one, other = (
            Thing("small", "red", form, Box(at, at, at + 10, at + 10)) for form, at in (("cross", 0), ("circle", 20))
        )
        assert grammar.directions(one, other) == ["left", "above"]
        assert grammar.directions(other, one) == ["right", "below"]
        assert grammar.directions(CROSS, CIRCLE) == ["above"]

    def test_the_words_of_an_object_have_its_box(self) -> None:
        found = boxes("a small red cross is above a blue square and left of a black circle", SCENE)
        cross, square = CROSS.box, SQUARE.box
        assert found == [None, cross, cross, cross, None, None, None, square, square, *[None] * 6]
        assert boxes("a red cross", SCENE) == [None] * 3

    def test_what_a_sentence_says(self) -> None:
        sentence = parsed("there is a red cross to the right of a small black circle and under a blue square")
        assert sentence is not None
        assert [(one.size, one.colour, one.form) for one in sentence.objects] == [
            ("", "red", "cross"), ("small", "black", "circle"), ("", "blue", "square"),
        ]  # fmt: skip
        assert sentence.directions == ("right", "below")


class TestScenes:
    keys = scenes.keys_of_scenes(1, "train", range(400))
    drawn = scenes.drawn(keys)
    things = scenes.things(drawn)

    def test_two_or_three_different_objects_inside_that_do_not_touch(self) -> None:
        assert {len(own) for own in self.things} == {2, 3}
        for own in self.things:
            assert len({(thing.colour, thing.form) for thing in own}) == len(own)
            for row, one in enumerate(own):
                assert min(one.box) >= 0
                assert max(one.box) <= scenes.SIDE
                for other in own[row + 1 :]:
                    rows = one.box.top < other.box.bottom and other.box.top < one.box.bottom
                    columns = one.box.left < other.box.right and other.box.left < one.box.right
                    assert not (rows and columns)

    def test_all_captions_are_true(self) -> None:
        for own, five in zip(self.things, scenes.captions(self.keys, self.things), strict=True):
            assert len(five) == 5
            assert all(judged(caption, own).true for caption in five)

    @pytest.mark.parametrize("share", [0.0, 0.8, 1.0])
    def test_a_share_of_captions_begins_with_the_largest(self, share: float) -> None:
        first, count = 0, 0
        for own, five in zip(self.things, scenes.captions(self.keys, self.things, share), strict=True):
            largest = max(own, key=lambda thing: thing.box.bottom - thing.box.top)
            for caption in five:
                sentence = parsed(caption)
                assert sentence is not None
                assert judged(caption, own).true
                first += sentence.objects[0].of(own) == largest
                count += 1
        by_chance = sum(1 / len(own) for own in self.things) / len(self.things)
        assert first / count == pytest.approx(share + (1 - share) * by_chance, abs=0.05)

    def test_every_shape_fills_its_box_in_its_colour(self) -> None:
        images = scenes.images(self.keys, self.drawn)
        for image, own in zip(images.float()[:100], self.things, strict=False):
            ground = image.flatten(1).median(1).values
            ink = (image - ground[:, None, None]).abs().amax(0) > 8
            inside = torch.zeros_like(ink)
            for thing in own:
                top, left, bottom, right = map(int, thing.box)
                inside[top:bottom, left:right] = True
                colour = scenes.RGB[grammar.COLOURS.index(thing.colour)]
                middle = image[:, (top + bottom) // 2, (left + right) // 2]
                assert (middle - colour).abs().max() <= scenes.VARIATION
                assert ink[top:bottom, left:right].any(0).sum() >= right - left - 2
                assert ink[top:bottom, left:right].any(1).sum() >= bottom - top - 2
            assert not (ink & ~inside).any()

    def test_a_scene_is_a_function_of_seed_split_and_row(self) -> None:
        some = scenes.keys_of_scenes(1, "train", [7, 399])
        assert scenes.things(scenes.drawn(some)) == [self.things[7], self.things[399]]
        whole = scenes.images(self.keys, self.drawn)
        assert torch.equal(scenes.images(some, scenes.drawn(some)), whole[[7, 399]])
        for other in (scenes.keys_of_scenes(2, "train", [7]), scenes.keys_of_scenes(1, "test", [7])):
            assert scenes.things(scenes.drawn(other))[0] != self.things[7]


class TestTask:
    def test_it_is_a_task_with_these_abilities(self, task: CaptionsTask) -> None:
        for ability in (Task, Learning, Legible, Readable, Answered):
            assert isinstance(task, ability)

    def test_an_example_for_each_training_caption_and_each_test_image(self, task: CaptionsTask) -> None:
        assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [200, 12, 12]
        with pytest.raises(InvalidInput, match="no split 'dev'"):
            task.examples("dev")

    def test_a_training_batch(self, task: CaptionsTask) -> None:
        examples = task.examples("train")[3:7]
        batch = task.collate(examples, torch.Generator())
        assert batch.pixels.shape == (4, 3, 64, 64)
        assert torch.equal(batch.pixels * 128 + 127, task.pixels(examples).float())
        assert batch.keys[0] == batch.keys[1] != batch.keys[2]
        assert batch.references.shape[:2] == (4, 0)
        for row, example in enumerate(examples):
            end = len(example.symbols) + 1
            assert batch.tokens[row].tolist() == [
                START, *example.symbols, END, *[PAD] * (batch.tokens.shape[1] - end - 1),
            ]  # fmt: skip
            assert batch.mask[row].tolist() == [place <= end for place in range(batch.tokens.shape[1])]

    def test_in_evaluation_all_references_are_there(self, task: CaptionsTask) -> None:
        examples = task.examples("test")[:3]
        batch = task.collate(examples)
        assert batch.references.shape[:2] == (3, 5)
        for row, example in enumerate(examples):
            for place, caption in enumerate(example.references):
                assert " ".join(task.vocabulary.decode(batch.references[row, place].tolist())) == caption

    def test_a_users_image_goes_the_way_of_the_others(self, task: CaptionsTask) -> None:
        raw = task.examples_to_type(2)[1]
        example = task.read(raw)
        assert torch.equal(task.collate([example]).pixels, task.collate(task.examples("test")[1:2]).pixels)
        assert task.collate([example]).tokens.tolist() == [[START, END]]
        mixed = task.collate([task.examples("test")[0], example])
        assert mixed.references.shape[:2] == (2, 5)
        assert not mixed.references[1].any()
        assert task.compare(example, Said((4,))) == {"ours": "a", "references": "?"}

    def test_the_caption_comes_before_the_further_ones(self, task: CaptionsTask) -> None:
        said = Said(task.symbols("a red cross"), -1.5, others=((task.symbols("a cross"), -2.25), ((), -4.0)))
        assert isinstance(task, Proposing)
        assert task.proposals(said) == [("a red cross", -1.5), ("a cross", -2.25), ("", -4.0)]

    def test_boxes_of_written_words(self, task: CaptionsTask) -> None:
        example = task.examples("test")[0]
        found = task.boxes(example, example.symbols)
        assert len(found) == len(example.symbols)
        assert {box for box in found if box} <= {thing.box for thing in task.things(example)}
        assert any(found)

    def test_images_of_another_size(self) -> None:
        small = CaptionsTask(CaptionsConfig(scenes=4, judged=4, size=32))
        example = small.examples("test")[0]
        assert small.collate([example]).pixels.shape == (1, 3, 32, 32)
        assert all(box is None or max(box) <= 32 for box in small.boxes(example, example.symbols))

    def test_right_answers_score_100(self, task: CaptionsTask) -> None:
        examples = task.examples("test")
        said = [task.answer(example)._replace(reference_nats=2.0, reference_words=4, greedy=()) for example in examples]
        figures = task.score(said, examples).figures
        for key in ("true", "objects_right", "bleu_1", "bleu_4", "rouge_l", "meteor", "person_true"):
            assert figures[key].value == pytest.approx(100)
        assert figures["perplexity"].value == pytest.approx(2.718281828**0.5)
        assert figures["greedy_true"].value == 0
        assert figures["constant_cider"].value < figures["person_cider"].value < figures["cider"].value

    def test_false_answers_are_not_true(self, task: CaptionsTask) -> None:
        examples = task.examples("test")
        said = [Said(task.vocabulary.encode(task.constant.split())) for _ in examples]
        figures = task.score(said, examples).figures
        assert figures["true"].value == figures["constant_true"].value < 50
        assert figures["distinct"].value == pytest.approx(100 / 12)
        assert "perplexity" not in figures

    def test_what_was_learned_is_kept(self, task: CaptionsTask, tmp_path: Path) -> None:
        task.save(tmp_path)
        again = CaptionsTask(SMALL, tmp_path)
        assert (again.words, again.side, again.constant) == (task.words, 64, task.constant)
        assert "source" not in vars(again), "predicting reads no data"
        again.check_trained(SMALL)
        with pytest.raises(InvalidInput, match=r"task.size was 64"):
            CaptionsTask(CaptionsConfig(scenes=40, judged=12, size=32), tmp_path).check_trained(SMALL)

    def test_a_caption_longer_than_allowed_is_cut(self) -> None:
        short = CaptionsTask(CaptionsConfig(scenes=4, judged=2, longest=3))
        assert {len(example.symbols) for example in short.examples("train")} == {3}

    def test_options_that_exclude_each_other(self) -> None:
        with pytest.raises(ValueError, match="folder and train are both set"):
            CaptionsConfig(folder=Path("a"), train=Path("b"))
        with pytest.raises(ValueError, match="test is set, but train is not"):
            CaptionsConfig(test=Path("b"))

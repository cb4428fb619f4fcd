"""Vocabularies: encoding, decoding and unknown words."""

from pathlib import Path

import pytest

from saccade.core.errors import InvalidInput
from saccade.tasks.translation.parallel_text import embedded_pairs
from saccade.tasks.translation.vocabulary import END, PAD, START, UNKNOWN, Vocabulary, check_direction

SENTENCES = ["Je n'ai pas d'argent.", "L'eau est-elle froide ?", "« Été », dit-il !", "un deux"]


@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_decoding_gives_the_sentence_back(kind: str) -> None:
    vocabulary = Vocabulary.learn(SENTENCES, kind, 200)
    for sentence in SENTENCES:
        assert vocabulary.decode(vocabulary.encode(sentence)) == sentence
    assert vocabulary.encode_all(SENTENCES) == [vocabulary.encode(sentence) for sentence in SENTENCES]


def test_the_embedded_sentences_survive_a_small_byte_pair_vocabulary() -> None:
    sentences = [target for _, target in embedded_pairs("train")]
    vocabulary = Vocabulary.learn(sentences, "bpe", 300)
    assert len(vocabulary) == 300
    assert [vocabulary.decode(ids) for ids in vocabulary.encode_all(sentences[:3000])] == sentences[:3000]


def test_learning_is_deterministic() -> None:
    sentences = [source for source, _ in embedded_pairs("train")[:5000]]
    learned = [Vocabulary.learn(sentences, "bpe", 1000).tokenizer.to_str() for _ in range(3)]
    assert learned[0] == learned[1] == learned[2]


def test_unknown_words_and_characters_are_named() -> None:
    words = Vocabulary.learn(["the cat sat"], "word", 100)
    assert words.unknown("the dog sat on the dog") == ["dog", "on"]
    assert words.decode(words.encode("the dog")) == "the <unk>"
    pieces = Vocabulary.learn(["the cat sat"], "bpe", 100)
    assert pieces.unknown("the ☃ sat") == ["☃"]
    assert pieces.unknown("sat the cat") == []


def test_special_symbols_come_first_and_are_not_decoded() -> None:
    vocabulary = Vocabulary.learn(SENTENCES, "bpe", 100)
    assert vocabulary.pieces([PAD, UNKNOWN, START, END]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert vocabulary.decode([START, *vocabulary.encode("un deux"), END, PAD]) == "un deux"
    assert END not in vocabulary.encode("</s>")


def test_lower_case() -> None:
    vocabulary = Vocabulary.learn(SENTENCES, "word", 100, lowercase=True)
    assert vocabulary.decode(vocabulary.encode("UN Deux")) == "un deux"


def test_it_is_loaded_from_a_file_or_the_error_is_reported(tmp_path: Path) -> None:
    vocabulary = Vocabulary.learn(SENTENCES, "bpe", 100)
    path = tmp_path / "source.json"
    vocabulary.save(path)
    assert Vocabulary.load(path).encode(SENTENCES[0]) == vocabulary.encode(SENTENCES[0])
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InvalidInput, match="not a vocabulary"):
        Vocabulary.load(path)
    with pytest.raises(InvalidInput, match="missing"):
        Vocabulary.load(tmp_path / "target.json")


def test_vocabularies_determine_the_direction() -> None:
    for kind, size in (("bpe", 400), ("word", 2000)):
        vocabularies = [
            Vocabulary.learn([row[side] for row in embedded_pairs("train")[:1000]], kind, size) for side in (0, 1)
        ]
        texts = embedded_pairs("test")[:40]
        check_direction(*vocabularies, texts)
        with pytest.raises(InvalidInput, match="seem to translate in the opposite direction"):
            check_direction(*vocabularies, [pair[::-1] for pair in texts])
        check_direction(vocabularies[0], vocabularies[0], [pair[::-1] for pair in texts])

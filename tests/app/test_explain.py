"""`saccade explain TEXT --model MODEL`, for checkpoints on disk and for runs."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.explain import Capture
from saccade.runs import explained
from saccade.training.run_folder import RunFolder
from tests.app.conftest import Command

transformers = pytest.importorskip("transformers")
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = "the animal did not cross street because it was too tired".split()  # noqa: SIM905
TEXT = "the animal was tired"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A BERT and a T5 with random weights, and one tokenizer."""
    import tokenizers
    from tokenizers import models, pre_tokenizers, processors

    root, symbols = tmp_path_factory.mktemp("checkpoints"), [*MARKS, *WORDS]
    vocabulary = {symbol: i for i, symbol in enumerate(symbols)}
    split = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    split.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    split.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), MARKS, strict=True))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=split, **named)
    size = len(symbols)
    options: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    t5: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 4, "pad_token_id": 0}
    t5 |= {"decoder_start_token_id": 0, "eos_token_id": 3}
    torch.manual_seed(1)
    made = {
        "bert": transformers.BertModel(transformers.BertConfig(vocab_size=size, hidden_size=32, **options)),
        "albert": transformers.AlbertModel(
            transformers.AlbertConfig(vocab_size=size, hidden_size=32, embedding_size=8, **options)
        ),
        "longformer": transformers.LongformerModel(
            transformers.LongformerConfig(vocab_size=size, hidden_size=32, attention_window=[4, 4], **options)
        ),
        "t5": transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=size, **t5)),
    }
    towers: dict[str, Any] = options | {"hidden_size": 16}
    images: dict[str, Any] = {"image_size": 16, "patch_size": 8}
    sound: dict[str, Any] = {f"{side}_{what}": number for side in ("encoder", "decoder") for what, number in (
        ("layers", 1), ("attention_heads", 2), ("ffn_dim", 32),
    )}  # fmt: skip
    sound |= {"d_model": 16, "num_mel_bins": 8, "max_source_positions": 10, "vocab_size": size} | dict.fromkeys(
        ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0
    )
    heard = transformers.Wav2Vec2Config(
        **towers,
        **dict.fromkeys(("conv_dim", "conv_kernel", "conv_stride"), (4,)),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    made |= {
        "clip": transformers.CLIPModel(
            transformers.CLIPConfig(text_config={**towers, "vocab_size": size}, vision_config={**towers, **images})
        ),
        "whisper": transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**sound)),
        "vit": transformers.ViTModel(transformers.ViTConfig(**towers, **images)),
        "wav2vec2": transformers.Wav2Vec2Model(heard),
        "speech": transformers.SpeechEncoderDecoderModel(
            transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
                heard,
                transformers.BertConfig(**towers, vocab_size=size, is_decoder=True, add_cross_attention=True),
            )
        ),
    }
    for name, model in made.items():
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in made}


def test_an_encoder_is_explained_and_saved(saccade: Command, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    written = ("--save", tmp_path / "seen.safetensors", "--html", tmp_path / "look.html", "--pictures", tmp_path)
    done = saccade("explain", TEXT, "--model", checkpoints["bert"], *written)
    assert done.status == 0, done.err
    page = (tmp_path / "look.html").read_text(encoding="utf-8")
    assert all(text in page for text in ("<title>BertModel of ", "encoder.layer.1.attention.self", '"tired"'))
    seen = Capture.load(tmp_path / "seen.safetensors")
    assert list(seen) == ["encoder.layer.0.attention.self", "encoder.layer.1.attention.self"]
    assert seen.labels[next(iter(seen))].keys == ["[CLS]", *TEXT.split(), "[SEP]"]
    lines = done.out.splitlines()
    assert lines[0].startswith("BertModel of ")
    told = lines[lines.index("the strongest links") + 1 :][:4]  # one link per word, and none for punctuation
    assert {line.split()[0] for line in told} == set(TEXT.split())
    weights = torch.stack([seen[name][0][0] for name in seen])  # layers, heads, queries, keys
    for line in told:
        query, _, key, weight, where, _, head = line.replace(",", "").split()
        q, k = (1 + TEXT.split().index(word) for word in (query, key))
        others = [n for n in range(1, 5) if n != q]
        assert float(weight) == pytest.approx(weights[:, :, q, others].max().item(), abs=0.005)
        assert weights[int(where.split(".")[2]), int(head), q, k] == weights[:, :, q, others].max()
    table = [line for line in lines if line.strip().startswith("encoder.layer.0")]
    assert [float(x) for x in table[0].split()[1:]] == pytest.approx(
        seen.entropy("encoder.layer.0.attention.self")[0].mean(1).tolist(), abs=0.005
    )
    assert (tmp_path / "heads-the-animal-was-tired.png").read_bytes().startswith(b"\x89PNG")


def test_pieces_can_be_joined_and_unreadable_attention_is_reported(
    saccade: Command, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    kept = tmp_path / "seen.safetensors"
    text = "the street because"
    done = saccade("explain", text, "--model", checkpoints["bert"], "--words", "--save", kept, "--pictures", tmp_path)
    assert done.status == 0, done.err
    seen = Capture.load(kept)
    assert seen.labels[next(iter(seen))].keys == ["[CLS]", *text.split(), "[SEP]"]
    done = saccade("explain", text, "--model", checkpoints["longformer"], "--pictures", tmp_path)
    assert done.status == 2
    assert "cannot be read: encoder.layer.0.attention.self: its scores are assembled from pieces" in done.err


def test_layers_that_share_one_module(saccade: Command, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "look.html"
    done = saccade("explain", TEXT, "--model", checkpoints["albert"], "--html", page, "--pictures", tmp_path)
    assert done.status == 0, done.err
    assert all(f"attention, call {layer}" in page.read_text(encoding="utf-8") for layer in (0, 1))
    assert all(f"attention, call {layer}" in done.out for layer in (0, 1))


def test_the_links_of_one_token(saccade: Command, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    options = ("--model", checkpoints["bert"], "--pictures", tmp_path)
    done = saccade("explain", TEXT, *options, "--from", "tired", "--links", 2)
    told = [line.split()[0] for line in done.out.splitlines() if "->" in line]
    assert told == ["tired", "tired"]
    done = saccade("explain", TEXT, *options, "--from", "dog")
    assert done.status == 2
    assert "there is no token 'dog'; there are: [CLS], [SEP], animal, the, tired, was" in done.err


@pytest.mark.parametrize("target", [None, "the street"])
def test_a_decoder_attends_to_both_sides(
    saccade: Command, checkpoints: dict[str, Path], tmp_path: Path, target: str | None
) -> None:
    kept = tmp_path / "seen.safetensors"
    given = [TEXT, "--answer", target] if target else [TEXT]
    done = saccade("explain", *given, "--model", checkpoints["t5"], "--save", kept, "--pictures", tmp_path)
    assert done.status == 0, done.err
    seen = Capture.load(kept)
    cross, own = (seen.labels[f"decoder.block.0.layer.{n}"] for n in ("1.EncDecAttention", "0.SelfAttention"))
    assert cross.keys == seen.labels["encoder.block.0.layer.0.SelfAttention"].queries
    assert cross.queries == own.queries == own.keys
    assert not target or cross.queries == ["[PAD]", "[CLS]", "the", "street"]
    assert [len(cross.queries), len(cross.keys)] == list(seen["decoder.block.0.layer.1.EncDecAttention"][0].shape[2:])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip", "is a clip checkpoint, which does not run on text alone: it also reads pixel_values"),
        ("whisper", "is a Whisper checkpoint, which does not generate text from text"),
        ("speech", "is a SpeechEncoderDecoder checkpoint, which does not generate text from text"),
        ("vit", "is a vit checkpoint: it reads pixel_values, not text"),
        ("wav2vec2", "is a wav2vec2 checkpoint: it reads input_values, not text"),
    ],
)
def test_a_checkpoint_that_does_not_run_on_text_alone_is_reported_in_one_line(
    saccade: Command, checkpoints: dict[str, Path], tmp_path: Path, name: str, message: str
) -> None:
    for target in ([], ["--answer", "the street"]):
        done = saccade("explain", TEXT, *target, "--model", checkpoints[name], "--pictures", tmp_path)
        assert done.status == 2
        assert len(done.err.strip().splitlines()) == 1
        assert message in done.err or (target and "has no encoder and decoder" in done.err)


def test_a_run_is_explained(saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    for system, heads in (("transformer", True), ("rnnsearch", False)):
        done = saccade("explain", "We can do that.", "--model", tiny_runs[system], "--pictures", tmp_path)
        assert done.status == 0, done.err
        assert ("head 0" in done.out or "head 1" in done.out) == heads
        assert "entropy of the attention of each head" in done.out


def test_the_folder_of_the_pictures(
    saccade: Command, checkpoints: dict[str, Path], tiny_runs: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In the run, or, for a checkpoint, in the folder of runs, which git ignores."""
    run = Path(shutil.copytree(tiny_runs["rnnsearch"], tmp_path / "RUN"))
    monkeypatch.chdir(tmp_path)
    assert saccade("explain", "We can do that.", "--model", "RUN").status == 0
    assert saccade("explain", TEXT, "--model", checkpoints["bert"]).status == 0
    assert list((run / "pictures").glob("alignment-*.png"))
    assert [path.name for path in Path("runs").rglob("*.png")] == ["heads-the-animal-was-tired.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"RUN", "runs"}


def test_inputs_other_than_text_are_explained(saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    """Frames have times, emissions have no heads, and a pen's window is not a distribution."""
    for system in ("attention_speech", "online_speech"):
        run = tiny_runs[system]
        [recording, *_] = RunFolder(run).input_files()
        page = tmp_path / "new folder" / f"{system}.html"
        done = saccade("explain", recording, "--model", run, "--pictures", tmp_path, "--html", page)
        assert done.status == 0, done.err
        assert page.stat().st_size > 1000
        links = [line for line in done.out.splitlines() if " -> " in line and line.endswith("  sound")]
        assert links
        assert all(float(line.split()[2]) >= 0 for line in links)
        assert all(line.split()[3] == "s" for line in links)  # seconds
    done = saccade("explain", "fox", "--model", tiny_runs["handwriting"], "--pictures", tmp_path)
    assert done.status == 0, done.err
    [entropy] = [line.split()[1] for line in done.out.splitlines() if line.startswith("  window ")]
    assert float(entropy) >= 0


@pytest.mark.parametrize(
    ("kind", "why"), [("refused", "Connection refused"), ("silent", "timed out"), ("offline", "HF_HUB_OFFLINE is set")]
)
def test_a_name_that_is_not_here_is_asked_of_the_hub_once(
    saccade: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, why: str
) -> None:
    """Without a hub the sentence lists what is here; nothing is tried again."""
    from huggingface_hub import constants

    asked: list[bool] = []

    def absent(name: str, local_files_only: bool = False) -> None:
        asked.append(local_files_only)
        raise OSError("not here")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", absent)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(explained, "PATIENCE", 0.2)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", kind == "offline")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models--someone--bert-tiny").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(run)
    monkeypatch.chdir(tmp_path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if kind == "silent":
            server.listen()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        done = saccade("explain", TEXT, "--model", "zzzz")
        near = saccade("explain", TEXT, "--model", "someone/bert-tinny")
    assert asked == [True, True]
    said = f"zzzz is no run, and no complete checkpoint on this machine, and {address} cannot be reached ({why}); "
    assert (done.status, done.out) == (2, "")
    assert done.err == f"saccade: {said}there are: runs/mine, someone/bert-tiny\n"
    assert near.err.endswith("; did you mean 'someone/bert-tiny'?\n")


@pytest.mark.parametrize("flag", [("--words",), ("--from", "We"), ("--save", "seen.safetensors")])
def test_a_flag_for_attention_maps_is_refused_where_there_are_none(
    saccade: Command, tiny_runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = saccade("explain", "We can do that.", "--model", tiny_runs["rnnencdec"], *flag)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"saccade: {flag[0]} is for attention maps, and {tiny_runs['rnnencdec']} shows none\n"
    assert not list(tmp_path.iterdir())


def test_bad_input(saccade: Command, checkpoints: dict[str, Path], tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    for arguments, message in (
        ([TEXT, "--model", tmp_path / "absent"], "absent: there is no such run, and no such folder"),
        (
            ["the " * 600, "--model", checkpoints["bert"]],
            "which has 512 positions, does not accept a text of 602 tokens",
        ),
        ([TEXT, "--model", broken], "is neither a run nor a readable checkpoint"),
        ([" ", "--model", checkpoints["bert"]], "the text is empty"),
        ([TEXT, "--answer", TEXT, "--model", checkpoints["bert"]], "has no encoder and decoder"),
        ([TEXT, "--answer", TEXT, "--model", tiny_runs["rnnsearch"]], "a run writes its own answer"),
        ([TEXT, "--model", checkpoints["bert"], "--only", "*decoder*"], "match '*decoder*'; some was found in"),
        ([TEXT, "--model", tiny_runs["rnnsearch"], "--only", "x"], "no layer of rnnsearch matches 'x'"),
        ([TEXT, "--model", checkpoints["bert"], "--links", "0"], "expected a whole number from 1, not '0'"),
        ([TEXT], "--model"),
    ):
        done = saccade("explain", *arguments)
        assert done.status == 2
        assert message in done.err
        assert "Traceback" not in done.err

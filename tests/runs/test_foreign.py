"""Pretrained networks: a run, a file of weights, a Hugging Face folder; copied into the new run."""

import os
import shutil
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
import torch
from pydantic import Field
from torch import nn

from saccade.core.config import NAMED, config, from_plain, placed, to_plain
from saccade.core.errors import InvalidInput, MissingExtra, NotFound, SaccadeError
from saccade.core.pretrained import Pretrained
from saccade.runs import flags, foreign
from saccade.training.run_folder import RunFolder
from saccade.training.tensors import write_tensors

RUN = Path(__file__).parents[1] / "fixtures" / "old_run" / "rnnsearch"


@config
class Fresh:
    """No pretrained network."""

    name: Literal["fresh"] = "fresh"


@config
class Taken:
    """A pretrained network."""

    name: Literal["taken"] = "taken"
    network: Pretrained = Pretrained("nowhere")
    """A run."""


@config
class Model:
    """Two networks, one of which belongs to a choice."""

    features: Pretrained = Pretrained("nowhere")
    """A run, a folder or a file."""
    start: Annotated[Fresh | Taken, Field(discriminator="name"), NAMED] = Fresh()
    """From where."""
    size: int = 3


@config
class Config:
    """All."""

    model: Model = Model()


def taking(path: Path | str) -> Any:
    return from_plain(Config, {"model": {"features": str(path)}})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trained run that tests can move."""
    return Path(shutil.copytree(RUN, tmp_path / "taken"))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A new run that uses pretrained networks."""
    made = RunFolder(tmp_path / "new")
    made.claim()
    return made


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("hugging") / "bert"
    options = {"num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 7}
    torch.manual_seed(1)
    transformers.BertModel(transformers.BertConfig(vocab_size=11, hidden_size=5, **options)).save_pretrained(path)
    return path


def same(ours: nn.Module, theirs: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


class TestRun:
    def test_its_network_task_and_configuration_are_passed_to_build(self, run: Path) -> None:
        field = foreign.resolved(taking(run), None).model.features
        assert sum(weight.numel() for weight in field.network.parameters()) > 1000
        assert field.task.read("Go home.")
        assert field.config.model.hidden_size == 16
        assert field.weights is None
        assert field.path == run

    def test_it_is_copied_and_the_original_can_be_deleted(self, run: Path, folder: RunFolder) -> None:
        found = foreign.resolved(taking(run), folder)
        foreign.keep(found, folder)
        assert to_plain(found) == {"model": {"features": str(run), "start": {"name": "fresh"}, "size": 3}}
        shutil.rmtree(run)
        again = foreign.resolved(taking(run), folder)
        assert same(found.model.features.network, again.model.features.network)

    def test_the_copy_contains_only_the_files_for_prediction(self, run: Path, folder: RunFolder) -> None:
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "last.ckpt").write_bytes(b"large")
        foreign.keep(taking(run), folder)
        [copy] = (folder.assets / "pretrained").iterdir()
        assert sorted(path.name for path in copy.iterdir()) == ["assets", "config.yaml", "model.safetensors"]

    def test_the_new_run_can_be_moved(self, run: Path, folder: RunFolder, tmp_path: Path) -> None:
        found = foreign.resolved(taking(run), folder)
        foreign.keep(found, folder)
        shutil.rmtree(run)
        moved = RunFolder(tmp_path / "elsewhere" / "new")
        shutil.move(folder.path, moved.path)
        again = foreign.resolved(taking(run), moved)
        assert same(found.model.features.network, again.model.features.network)

    def test_the_copy_stays_when_the_original_changes(self, run: Path, folder: RunFolder) -> None:
        found = foreign.resolved(taking(run), folder)
        foreign.keep(found, folder)
        other = foreign.resolved(taking(run), None).model.features.network
        with torch.no_grad():
            for weight in other.parameters():
                weight.add_(1)
        RunFolder(run).save_weights(other)
        again = foreign.resolved(taking(run), folder).model.features.network
        assert same(again, found.model.features.network)
        assert not same(again, other)
        foreign.keep(taking(run), folder)  # like a run that starts again
        assert same(foreign.resolved(taking(run), folder).model.features.network, again)

    def test_a_run_within_a_run_within_a_run(self, run: Path, folder: RunFolder, tmp_path: Path) -> None:
        """The inner one is copied, too, since it is in the assets of the middle one."""
        inner = run / "assets" / "pretrained" / "model.features"
        shutil.copytree(RUN, inner)
        foreign.keep(taking(run), folder)
        copy = folder.assets / "pretrained" / "model.features" / "assets" / "pretrained" / "model.features"
        assert (copy / "model.safetensors").read_bytes() == (RUN / "model.safetensors").read_bytes()

    def test_an_interrupted_copy_is_repeated(
        self, run: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copytree", lambda *_: 1 / 0)  # killed after config.yaml and the weights were copied
            with pytest.raises(ZeroDivisionError):
                foreign.keep(taking(run), folder)
        assert foreign.resolved(taking(run), folder).model.features.network is not None
        foreign.keep(taking(run), folder)
        shutil.rmtree(run)
        assert foreign.resolved(taking(run), folder).model.features.task.read("Go home.")

    def test_only_the_selected_record_of_a_choice_is_read(self, run: Path) -> None:
        plain = {"model": {"features": str(run), "start": {"name": "taken", "network": str(run)}}}
        found = foreign.resolved(from_plain(Config, plain), None)
        assert same(found.model.start.network.network, found.model.features.network)
        assert [name for name, _ in foreign.fields(found)] == ["model.features", "model.start.network"]
        assert [name for name, _ in foreign.fields(taking(run))] == ["model.features"]

    def test_a_relative_path_starts_from_where_the_run_was_started(self, run: Path) -> None:
        there = placed(taking("taken"), run.parent)
        assert there.model.features.path == run
        assert foreign.resolved(there, None).model.features.task is not None


class TestWeights:
    def test_the_tensors_are_passed_on_and_copied(self, folder: RunFolder, tmp_path: Path) -> None:
        path, tensors = tmp_path / "some.safetensors", {"a": torch.arange(3.0), "b": torch.ones(2, 5)}
        write_tensors(path, tensors, {})
        found = foreign.resolved(taking(path), folder)
        foreign.keep(found, folder)
        path.unlink()
        field = foreign.resolved(taking(path), folder).model.features
        assert field.weights is not None
        assert {name: tensor.tolist() for name, tensor in field.weights.items()} == {
            name: tensor.tolist() for name, tensor in tensors.items()
        }
        assert field.task is None
        with pytest.raises(RuntimeError, match=r"some.safetensors holds only weights"):
            _ = field.network


class TestHuggingFace:
    def test_the_network_is_that_of_the_library(
        self, hugging_face: Path, folder: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        import transformers

        copy = Path(shutil.copytree(hugging_face, tmp_path / "bert"))
        capfd.readouterr()
        found = foreign.resolved(taking(copy), folder)
        foreign.keep(found, folder)
        shutil.rmtree(copy)
        field = foreign.resolved(taking(copy), folder).model.features
        assert capfd.readouterr() == ("", "")  # no progress bars or notices
        theirs = transformers.BertModel.from_pretrained(hugging_face)
        assert same(field.network, theirs)
        assert not field.network.training
        assert field.config["hidden_size"] == 5

    OTHERS = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "model.onnx", "onnx/model.onnx", ".git/HEAD")

    @pytest.mark.parametrize("size", ["100MB", "1KB"])
    def test_of_several_formats_one_is_copied_and_the_tokenizer_with_it(
        self, hugging_face: Path, folder: RunFolder, tmp_path: Path, size: str
    ) -> None:
        """Whole, and in shards."""
        import transformers

        theirs = transformers.BertModel.from_pretrained(hugging_face)
        theirs.save_pretrained(path := tmp_path / "bert", max_shard_size=size)
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", *self.OTHERS):
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_text("{}")
        foreign.keep(taking(path), folder)
        shutil.rmtree(path)
        [copy] = (folder.assets / "pretrained").iterdir()
        names = {found.name for found in copy.rglob("*")}
        assert names >= {"config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json"}
        assert not names & {Path(name).name for name in self.OTHERS}
        assert ("model.safetensors" in names) == (size == "100MB")
        assert ("model.safetensors.index.json" in names) == (size == "1KB")
        assert same(foreign.resolved(taking(path), folder).model.features.network, theirs)

    def test_of_a_folder_with_pickled_weights_alone_those_are_copied(
        self, hugging_face: Path, folder: RunFolder, tmp_path: Path
    ) -> None:
        import transformers

        path = Path(shutil.copytree(hugging_face, tmp_path / "bert"))
        theirs = transformers.BertModel.from_pretrained(path)
        (path / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), path / "pytorch_model.bin")
        foreign.keep(taking(path), folder)
        shutil.rmtree(path)
        assert same(foreign.resolved(taking(path), folder).model.features.network, theirs)

    @pytest.mark.parametrize("damage", ["config", "kind", "weights", "cut", "other"])
    def test_a_damaged_folder_is_refused_in_one_sentence(self, hugging_face: Path, tmp_path: Path, damage: str) -> None:
        copy = Path(shutil.copytree(hugging_face, tmp_path / "bert"))
        weights, described = copy / "model.safetensors", copy / "config.json"
        match damage:
            case "config":
                described.write_text("{")
            case "kind":
                described.write_text('{"model_type": "nonsense"}')
            case "weights":
                weights.unlink()
            case "cut":
                weights.write_bytes(weights.read_bytes()[:500])
            case "other":
                described.write_text(described.read_text().replace('"hidden_size": 5', '"hidden_size": 6'))
        with pytest.raises(InvalidInput) as refused:
            foreign.resolved(taking(copy), None)
        assert str(refused.value).startswith(f"{copy}: transformers cannot read this checkpoint (")
        assert "\n" not in str(refused.value)

    def test_without_the_library_the_extra_is_named(self, hugging_face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def absent(module: str, extra: str) -> None:
            raise MissingExtra({module: extra})

        monkeypatch.setattr(foreign, "require", absent)
        with pytest.raises(MissingExtra, match=r"transformers is not installed; .*torch-saccade\[hub\]"):
            foreign.resolved(taking(hugging_face), None)


class TestBadPath:
    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            (
                "nothing",
                "PATH: there is no such run or file; --model.features takes a run, a Hugging Face folder or a ",
            ),
            ("empty", "--model.features: expected a run or a Hugging Face folder; PATH is neither"),
            ("text", "PATH: damaged or cut off ("),
            ("unfinished", "PATH has no weights (model.safetensors); finish it with: saccade train --resume PATH"),
            ("config", "PATH/config.yaml: expected the keys system, variant, config, version; the file may be cut off"),
            ("yaml", "PATH/config.yaml: not YAML ("),
            ("cut", "PATH/model.safetensors: damaged or cut off ("),
            ("assets", "PATH/assets/source.json"),
        ],
    )
    def test_it_is_refused_in_one_sentence(self, run: Path, kind: str, said: str) -> None:
        path = run
        match kind:
            case "nothing":
                shutil.rmtree(run)
            case "empty":
                shutil.rmtree(run)
                run.mkdir()
            case "text":
                path = run.with_name("notes.txt")
                path.write_text("no weights at all, and a text that is not short")
            case "unfinished":
                (run / "model.safetensors").unlink()
            case "config":
                (run / "config.yaml").write_text("system: rnnsearch\n")
            case "yaml":
                (run / "config.yaml").write_text("a: [")
            case "cut":
                os.truncate(run / "model.safetensors", 999)
            case "assets":
                (run / "assets" / "source.json").unlink()
        with pytest.raises(SaccadeError) as refused:
            foreign.resolved(taking(path), None)
        assert str(refused.value).startswith(said.replace("PATH", str(path)))
        assert "\n" not in str(refused.value)

    def test_an_empty_path_is_refused_by_its_flag(self) -> None:
        with pytest.raises(
            InvalidInput, match=r"--model.features: expected the path of a run, of a Hugging Face folder"
        ):
            flags.parse(Config(), ["--model.features="])

    def test_a_folder_of_other_files_is_refused_as_a_copy(self, folder: RunFolder) -> None:
        """Nothing is copied from an unreadable path."""
        with pytest.raises(NotFound):
            foreign.resolved(taking("nowhere"), folder)
        assert not list(folder.assets.iterdir())

    def test_an_unresolved_network_raises(self) -> None:
        with pytest.raises(RuntimeError, match=r"nowhere was not resolved; build the model with saccade.load"):
            _ = Pretrained("nowhere").network


class TestFilesOfWeights:
    tensors: ClassVar[dict[str, Any]] = {"fc.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.zeros(2)}

    @pytest.mark.parametrize("old", [False, True])
    @pytest.mark.parametrize("wrap", ["", "state_dict", "model", "model_state_dict"])
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_files_of_torch_are_read(self, tmp_path: Path, old: bool, wrap: str, prefix: str) -> None:
        named = {f"{prefix}{name}": tensor for name, tensor in self.tensors.items()}
        saved = {wrap: named, "epoch": 3, "best": 0.5} if wrap else named
        torch.save(saved, tmp_path / "file.pth", _use_new_zipfile_serialization=not old)
        found = foreign.read_weights(tmp_path / "file.pth")
        assert found.keys() == self.tensors.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in self.tensors.items())

    def test_a_field_takes_either_format(self, tmp_path: Path) -> None:
        torch.save(self.tensors, tmp_path / "file.pth")
        write_tensors(tmp_path / "file.safetensors", self.tensors, {})
        for name in ("file.pth", "file.safetensors"):
            weights = foreign.resolved(taking(tmp_path / name), None).model.features.weights
            assert torch.equal(weights["fc.weight"], self.tensors["fc.weight"])

    def test_code_is_never_run(self, tmp_path: Path) -> None:
        torch.save({"fc.weight": torch.zeros(1), "hidden": Runs(str(tmp_path / "ran"))}, tmp_path / "file.pth")
        with pytest.raises(InvalidInput, match=r"file.pth: damaged, or not only weights"):
            foreign.read_weights(tmp_path / "file.pth")
        assert not (tmp_path / "ran").exists()

    def test_a_whole_module_is_no_file_of_weights(self, tmp_path: Path) -> None:
        torch.save(nn.Linear(2, 3), tmp_path / "file.pth")
        with pytest.raises(InvalidInput, match="damaged, or not only weights"):
            foreign.read_weights(tmp_path / "file.pth")

    @pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(3), {3: torch.zeros(1)}], ids=str)
    def test_other_contents(self, tmp_path: Path, content: Any) -> None:
        torch.save(content, tmp_path / "file.pth")
        with pytest.raises(InvalidInput, match="expected tensors by name"):
            foreign.read_weights(tmp_path / "file.pth")

    @pytest.mark.parametrize("old", [False, True])
    def test_damaged_files(self, tmp_path: Path, old: bool) -> None:
        torch.save(self.tensors, tmp_path / "file.pth", _use_new_zipfile_serialization=not old)
        whole = (tmp_path / "file.pth").read_bytes()
        for size in (2, 3, len(whole) // 2, len(whole) - 9):
            (tmp_path / "file.pth").write_bytes(whole[:size])
            with pytest.raises(InvalidInput, match="damaged"):
                foreign.read_weights(tmp_path / "file.pth")
        for content in (b"", b"P", b"hello, world"):
            (tmp_path / "file.pth").write_bytes(content)
            with pytest.raises(InvalidInput, match="damaged"):
                foreign.read_weights(tmp_path / "file.pth")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no such file of weights"):
            foreign.read_weights(tmp_path / "file.pth")


class Runs:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")

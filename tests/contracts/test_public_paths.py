"""Public imports and verbs are frozen: a change here is a change for users (CHANGELOG.md)."""

import importlib
import subprocess
import sys

import pytest

PATHS = [
    "saccade.load", "saccade.__version__",
    "saccade.attention.AdditiveAttention", "saccade.attention.Attention", "saccade.attention.LearnedPositions",
    "saccade.attention.MultiHeadAttention", "saccade.attention.Reading", "saccade.attention.SinusoidalPositions",
    "saccade.attention.scaled_dot_product", "saccade.attention.BilinearAttention",
    "saccade.attention.ConcatAttention", "saccade.attention.CosineAttention", "saccade.attention.DotAttention",
    "saccade.attention.GaussianWindowAttention", "saccade.attention.LocalMonotonicAttention",
    "saccade.attention.LocalPredictiveAttention", "saccade.attention.LocationAwareAttention",
    "saccade.attention.PastAlignmentAttention", "saccade.attention.PositionalKeysAttention",
    "saccade.attention.RelativeAttention",
    "saccade.attention.ScaledDotAttention", "saccade.attention.HardAttention", "saccade.attention.OnlineAttention",
    "saccade.attention.ScoreFunction", "saccade.attention.SelfAttention",
    "saccade.attention.ctc.ctc_loss", "saccade.attention.ctc.forced_alignment",
    "saccade.attention.ctc.prefix_beam_search", "saccade.attention.transducer.transducer_loss",
    "saccade.core.config.config", "saccade.core.masks.length_mask", "saccade.core.masks.masked_softmax",
    "saccade.nets.blocks.Blocks", "saccade.nets.deit.DeiT",
    "saccade.nets.language_model.LanguageModel", "saccade.nets.visformer.Visformer",
    "saccade.nets.efficientnet_lite.EfficientNetLite",
    "saccade.nets.projection.Projection", "saccade.core.recipe.Recipe", "saccade.core.state.Constant",
    "saccade.core.state.map_state", "saccade.core.state.select", "saccade.core.tap.Tap",
    "saccade.explain.Capture", "saccade.explain.capture", "saccade.explain.ablate", "saccade.explain.scale",
    "saccade.explain.cam.ablation_cam", "saccade.explain.cam.cam", "saccade.explain.cam.grad_cam",
    "saccade.explain.cam.grad_cam_plus_plus", "saccade.explain.cam.layer_cam", "saccade.explain.cam.score_cam",
    "saccade.explain.cam.HeatMaps", "saccade.explain.rollout.attention_rollout",
    "saccade.explain.rollout.attention_relevance", "saccade.explain.rollout.token_rollout",
    "saccade.explain.rollout.token_relevance", "saccade.explain.faithfulness.deletion",
    "saccade.explain.faithfulness.insertion", "saccade.explain.faithfulness.confidence",
    "saccade.explain.faithfulness.hits", "saccade.explain.faithfulness.of_boxes",
    "saccade.explain.heat_maps.heat_map", "saccade.explain.pictures.overlays.Overlays",
    "saccade.explain.measures.rollout", "saccade.explain.measures.flow", "saccade.explain.plots.head_grid",
    "saccade.explain.plots.alignment",
    "saccade.explain.plots.alignments",
    "saccade.explain.plots.save", "saccade.explain.plots.score_by_length", "saccade.explain.plots.training_curves",
    "saccade.explain.text.alignment_text",
    "saccade.explain.plots.pen", "saccade.explain.plots.arcs", "saccade.explain.plots.layer_overview",
    "saccade.explain.plots.over_image", "saccade.explain.plots.glimpses", "saccade.explain.plots.drawing",
    "saccade.explain.plots.patches", "saccade.explain.plots.overlays",
    "saccade.explain.plots.memory_trace", "saccade.explain.plots.speech", "saccade.explain.plots.positions",
    "saccade.core.device.to_device", "saccade.explain.answers.classified",
    "saccade.explain.answers.alignment", "saccade.explain.answers.entropy",
    "saccade.explain.answers.heads", "saccade.explain.answers.listened", "saccade.explain.page.View",
    "saccade.explain.page.page_of", "saccade.explain.pictures.kept", "saccade.explain.pictures.load",
    "saccade.explain.pictures.alignment.Alignment", "saccade.explain.pictures.curve.Curve",
    "saccade.explain.pictures.glimpses.Glimpses", "saccade.explain.pictures.graph.Graph",
    "saccade.explain.pictures.heads.Heads", "saccade.explain.pictures.histogram.Histogram",
    "saccade.explain.pictures.image_overlay.ImageOverlay", "saccade.explain.pictures.memory_trace.MemoryTrace",
    "saccade.explain.pictures.sound.Sound", "saccade.explain.pictures.strip.Strip",
    "saccade.explain.pictures.strokes.Strokes", "saccade.explain.pictures.text.Text",
    "saccade.explain.plots.words", "saccade.explain.plots.join", "saccade.explain.plots.labels",
    "saccade.memory.DynamicMemoryNetwork", "saccade.memory.EndToEndMemoryNetwork", "saccade.memory.GRU",
    "saccade.memory.GRUState", "saccade.memory.LSTM", "saccade.memory.LSTMState", "saccade.memory.MemoryNetwork",
    "saccade.memory.RNN", "saccade.memory.RNNState", "saccade.memory.DelayedRNN", "saccade.memory.DelayedRNNState",
    "saccade.memory.ClockworkRNN", "saccade.memory.ClockworkRNNState", "saccade.memory.NTM",
    "saccade.memory.NTMState", "saccade.memory.DNC", "saccade.memory.DNCState", "saccade.memory.SparseAccessMemory",
    "saccade.memory.SparseAccessMemoryState", "saccade.memory.addressing.address",
    "saccade.memory.addressing.circular_convolution", "saccade.memory.addressing.content_weights",
    "saccade.memory.addressing.interpolate", "saccade.memory.addressing.sharpen",
    "saccade.memory.addressing.stages", "saccade.memory.lstm_gates.LSTMGates",
    "saccade.explain.answers.through_time", "saccade.explain.jacobians.jacobians",
    "saccade.explain.jacobians.singular_values", "saccade.explain.jacobians.gradient_through_time",
    "saccade.nets.attention_decoder.AttentionDecoder",
    "saccade.nets.bidirectional_language_model.BidirectionalLanguageModel",
    "saccade.nets.bidirectional_language_model.ScalarMix",
    "saccade.nets.character_convolution.CharacterConvolution", "saccade.nets.character_convolution.spelled",
    "saccade.nets.stochastic_depth.StochasticDepth",
    "saccade.nets.conditional_decoder.ConditionalDecoder", "saccade.nets.dropout.Dropout",
    "saccade.nets.input_feeding_decoder.InputFeedingDecoder",
    "saccade.nets.transformer.TransformerDecoder", "saccade.nets.transformer.TransformerEncoder",
    "saccade.nets.readout.MaxoutReadout",
    "saccade.nets.recurrent_encoder.RecurrentEncoder", "saccade.nets.stacked_encoder.StackedEncoder",
    "saccade.nets.search.beam_search",
    "saccade.nets.search.sample", "saccade.tasks.translation.TranslationTask",
    "saccade.tasks.translation.TranslationConfig",
    "saccade.tasks.babi.BabiConfig", "saccade.tasks.babi.BabiTask",
    "saccade.tasks.pen.PenConfig", "saccade.tasks.pen.PenTask",
    "saccade.training.config.TrainingConfig",
    "saccade.vision.AffineGrid", "saccade.vision.Attention2d", "saccade.vision.AttentionStem",
    "saccade.vision.BottleneckAttention",
    "saccade.vision.CBAM", "saccade.vision.ChannelGate", "saccade.vision.GaussianGrid",
    "saccade.vision.GaussianLocation", "saccade.vision.LocalAttention2d",
    "saccade.vision.MultiHeadSelfAttention", "saccade.vision.ProjectiveGrid",
    "saccade.vision.Retina", "saccade.vision.SimilarityGrid", "saccade.vision.SpatialGate",
    "saccade.vision.SpatialTransformer", "saccade.vision.SplineGrid", "saccade.vision.SqueezeExcite",
    "saccade.vision.attention_2d.from_convolution", "saccade.vision.spatial_transformer.sample",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_the_path_exists(path: str) -> None:
    module, name = path.rsplit(".", 1)
    assert hasattr(importlib.import_module(module), name)


def test_the_verbs() -> None:
    from saccade.app.main import VERBS

    assert list(VERBS) == ["list", "train", "evaluate", "predict", "explain", "serve", "plan", "report"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["list"], ["lsit"], ["train", "rnsearch"], ["train", "--help"]]
)
def test_fast_commands_do_not_import_torch(arguments: list[str]) -> None:
    code = f"import sys; from saccade.app.main import main; main({arguments}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_importing_saccade_imports_nothing_else() -> None:
    code = "import sys; import saccade; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_help_imports_no_engine() -> None:
    code = (
        "import sys; from saccade.app.main import main; main(['train', 'rnnsearch', '--help']);"
        "sys.exit('lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0

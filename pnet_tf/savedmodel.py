"""Opening a voice with TensorFlow, a SavedModel or a voice folder: its spec, what it heard in training, and how it draws."""

import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from pnet_tf import spec as spec_room
from pnet_tf import voice_folder
from pnet_tf.errors import InputError
from pnet_tf.files import read_small
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice import Voice
from pnet_tf.voice_folder import GRAPH_NAME, VOICE_NAME

_REASON_CHARACTERS = 200
# Weights lie beside the graph; ours has half a MiB.
_MOST_BYTES = 256 * 2**20
# A SavedModel is a program. These operations compute, and hold weights: those of all our exports, and some of their kind that
# another version of TensorFlow or Keras may write instead. What is not among them may touch files, network or process.
_COMPUTES = frozenset(
    """AddN AddV2 Any AssignVariableOp BiasAdd Cast Complex ConcatV2 Const Conv2D Conv2DBackpropInput Cos Cumsum Exp
    ExpandDims Expm1 Fill Floor FloorDiv FloorMod GatherV2 Greater GreaterEqual IRFFT Identity Imag LeakyRelu Less Log
    LogicalAnd LogicalNot LogicalOr MatMul MaxPool Maximum Minimum MirrorPad Mul Neg NoOp Pack Pad PadV2 PartitionedCall
    Placeholder RFFT Range ReadVariableOp Real RealDiv Reshape ReverseV2 Round Rsqrt SelectV2 Shape Sign Sin Size Split Sqrt
    Square Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StridedSlice Sub Sum TensorListReserve
    TensorListSetItem TensorListStack Transpose VarHandleOp VarIsInitializedOp ZerosLike Abs Add All Atan2 AvgPool
    BatchMatMulV2 BroadcastTo ComplexAbs Conj Einsum Equal FFT FusedBatchNormV3 GatherNd IFFT IdentityN If IsFinite
    LessEqual Log1p Max Mean Min NotEqual OnesLike Pow Prod Relu ResourceGather Select Slice Softplus SplitV
    SquaredDifference StopGradient Tanh TensorListFromTensor TensorListGetItem TensorListLength Tile Unpack While""".split()
)
# Those with which each SavedModel loads its weights, and saves them anew, which nothing of ours asks for.
_OF_STORING = {
    "traced_restore": frozenset({"RestoreV2"}),
    "traced_save": frozenset(
        "DisableCopyOnRead MergeV2Checkpoints SaveV2 Select ShardedFilename StaticRegexFullMatch StringJoin".split()
    ),
}


def open_voice(folder: pathlib.Path) -> Voice:
    """Opens what `tools/export_savedmodel.py` wrote, in either format.

    Args:
      folder: a SavedModel, a folder of its versions as TensorFlow Serving wants them (the newest is taken), or a voice folder.

    Raises:
      InputError: it is neither, it is not one of ours, or it is damaged.
    """
    folder = pathlib.Path(folder)
    if program := voice_folder.program_in(folder):
        return _open_savedmodel(program)
    voice_folder.require_voice_folder(folder)
    return _open_folder(folder)


def _open_folder(folder: pathlib.Path) -> Voice:
    spec, config, facts = voice_folder.open_folder(folder)
    model = voice_folder.model_of_folder(folder, spec, config)
    rolls = [tf.TensorSpec([None, None, spec.n_pitches], tf.float32, name=name) for name in ("pianoroll", "onset_offset")]

    @tf.function(input_signature=rolls, autograph=False)
    def draw(pianoroll: tf.Tensor, onset_offset: tf.Tensor) -> tf.Tensor:
        """As `Voice.draw`: float32 [batch, frames, n_pitches], twice, to float32 [batch, frames, bins]."""
        return model({"pianoroll": pianoroll, "onset_offset": onset_offset}, training=False)

    return Voice(draw=draw, spec=spec, **facts)


def _open_savedmodel(folder: pathlib.Path) -> Voice:
    assets = folder / "assets"
    spec = FeatureSpec.read(assets) if (assets / spec_room.FILE_NAME).exists() else None
    if spec is None:
        raise InputError(f"{folder}: holds no {spec_room.FILE_NAME}; it was not made with pnet-export")
    _require_only_numbers(folder)
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, IndexError, tf.errors.OpError) as error:
        raise InputError(f"{folder}: damaged SavedModel ({error}); export it again") from error
    if "spectrogram" not in model.signatures:
        raise InputError(f"{folder}: has no signature spectrogram; export it again")
    drawn = model.signatures["spectrogram"].structured_outputs["log_power"].shape[-1]
    if drawn != spec.n_bins:
        raise InputError(f"{assets / spec_room.FILE_NAME}: has {spec.n_bins} bins, the model draws {drawn}; export it again")
    facts = voice_folder.read_facts(assets / VOICE_NAME, spec)

    def draw(*, pianoroll: tf.Tensor, onset_offset: tf.Tensor) -> tf.Tensor:
        """As `Voice.draw`: float32 [batch, frames, n_pitches], twice, to float32 [batch, frames, bins]."""
        try:
            rolls = {"pianoroll": tf.convert_to_tensor(pianoroll), "onset_offset": tf.convert_to_tensor(onset_offset)}
            return model.signatures["spectrogram"](**rolls)["log_power"]
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.UnimplementedError) as error:
            reason = " ".join(error.message.split())[:_REASON_CHARACTERS]
            raise InputError(f"{folder}: cannot draw ({reason}); export it again") from error

    return Voice(draw=draw, spec=spec, **facts)


def _require_only_numbers(folder: pathlib.Path) -> None:
    """Refuses a graph with operations that reach out of it, before TensorFlow loads it.

    Raises:
      InputError: it has one, or cannot be read.
    """
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(read_small(folder / GRAPH_NAME, _MOST_BYTES))
    except (OSError, DecodeError) as error:
        raise InputError(f"{folder}: damaged SavedModel ({error}); export it again") from error
    if not saved.meta_graphs:
        raise InputError(f"{folder}: damaged SavedModel (it has no graph); export it again")
    # Only what has one graph with a tree of objects is loaded without running anything.
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise InputError(f"{folder}: is a SavedModel of TensorFlow 1, which runs when it is loaded; export it again")
    graph = saved.meta_graphs[0].graph_def
    wrong = (node.op for node in graph.node if node.op not in _COMPUTES)
    for operation in itertools.chain(wrong, *map(_not_computing, graph.library.function)):
        raise InputError(
            f"{folder}: holds the operation {operation}, which draws no sound: a SavedModel is a program, get one from "
            "somebody you trust, or a voice folder, which is none"
        )


def _not_computing(function: Any) -> Iterator[str]:
    """The operations of a function that do more than to compute, and calls of those that store weights."""
    own = frozenset().union(*(names for mark, names in _OF_STORING.items() if mark in function.signature.name))
    for node in function.node_def:
        if node.op not in _COMPUTES | own:
            yield node.op
        called = {value.func.name for value in node.attr.values()}
        called |= {item.name for value in node.attr.values() for item in value.list.func}
        yield from sorted(name for name in called if any(mark in name for mark in _OF_STORING))

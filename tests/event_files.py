"""What a training wrote for TensorBoard, by TensorBoard's own reader."""

import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def events_of(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def curves(folder):
    """Points of each curve: name to {step: value}."""
    events = events_of(folder)
    names = [name for name in events.Tags()["tensors"] if not name.startswith(("run/", "windows/", "audio/"))]
    return {name: {p.step: float(tf.make_ndarray(p.tensor_proto)) for p in events.Tensors(name)} for name in names}

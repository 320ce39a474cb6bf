"""PerformanceNet in TensorFlow: a score goes in, the sound of an instrument performing it comes out."""

__version__ = "0.1.0"

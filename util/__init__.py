"""General helpers: vocabulary, batches, one-hot encoding, flat parameters, atomic writes and errors."""

if __name__ != "charrnn_port.util":  # a second copy would define its classes a second time
    raise ImportError(f"import charrnn_port.util, not {__name__}")

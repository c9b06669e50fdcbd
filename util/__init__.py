"""What any program about texts can use: vocabulary, batches, one-hot, flat parameters, whole files, errors."""

if __name__ != "charrnn_port.util":  # a second copy beside charrnn_port's would have classes of its own
    raise ImportError(f"import charrnn_port.util, not {__name__}")

"""What any program about texts can use: vocabulary, batches, one-hot, flat parameters, whole files, errors."""

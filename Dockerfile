# An image for CPUs (x86-64 and ARM64) or, with another TORCH_INDEX, for NVIDIA GPUs: docs/running.md says how to use it.
# Written by reading the documentation; its steps were run without Docker, the file itself was not.
FROM python:3.13-slim AS pytorch
COPY constraints.txt /
# PyTorch's own index has the CPU build for Linux. The build at https://pypi.org/simple brings CUDA along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir -c /constraints.txt torch --index-url $TORCH_INDEX

# The cells are compiled here, not with -march=native on the machine that builds the image: the wheel has libraries for
# several processors and chooses when it starts. So the image needs no compiler and no folder to write to.
FROM pytorch AS wheel
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir -c constraints.txt . ziglang wheel "setuptools>=68" \
    && python tools/wheels.py /wheels "manylinux_2_17_$(uname -m)"

FROM pytorch
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir -c /constraints.txt "$(echo /wheels/*.whl)[all]"
# For any user (docker run --user), whose only folders to write to are /work and, if need be, a tmpfs at /tmp.
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["charrnn"]
CMD ["-help"]

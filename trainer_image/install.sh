#!/bin/sh
# Installs the locked packages whose names match, and removes files that training never loads.
set -eu
awk -v wanted="$1" '/^[a-z0-9]/ { on = $0 ~ wanted } on' requirements.txt > wanted.txt
pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes \
    --root-user-action ignore --requirement wanted.txt
rm wanted.txt
cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
# Headers, static libraries, and the C parser that only builds of TensorFlow use.
rm -rf nvidia/*/include tensorflow/include clang
rm -f nvidia/*/lib/*.a
# cuDNN's engines for convolutions and recurrent networks, the variants of cuSOLVER and cuFFT that
# TensorFlow does not load, and a second build of the run-time compiler.
rm -f nvidia/cudnn/lib/libcudnn_engines_* nvidia/cudnn/lib/libcudnn_adv.* \
    nvidia/cudnn/lib/libcudnn_cnn.* nvidia/cudnn/lib/libcudnn_heuristic.* \
    nvidia/cusolver/lib/libcusolverMg.* nvidia/cufft/lib/libcufftw.* \
    nvidia/cuda_nvrtc/lib/*.alt.*

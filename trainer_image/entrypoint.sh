#!/bin/sh
# Mounts the models bucket for reading, then becomes the trainer.
set -eu
export MODELS_MOUNT="${MODELS_MOUNT:-/mnt/models}"
mkdir -p "$MODELS_MOUNT"
gcsfuse --implicit-dirs -o ro "$MODELS_BUCKET" "$MODELS_MOUNT" >&2
exec python -m trainer_image "$@"

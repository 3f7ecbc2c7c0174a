#!/bin/sh
# Mounts what the trainer reads of the models bucket, then becomes the trainer.
set -eu
trap 'exit 143' TERM # process 1 has no default action for a signal
export MODELS_MOUNT="${MODELS_MOUNT:-/mnt/models}"
# A prefix each: gcsfuse looks every parent up as an object, and for a name that no grant covers
# Cloud Storage answers 403. The bucket has no hierarchical namespace; gcsfuse need not ask.
for prefix in base releases; do
    mkdir -p "$MODELS_MOUNT/$prefix"
    gcsfuse --implicit-dirs --enable-hns=false --only-dir "$prefix" -o ro \
        "$MODELS_BUCKET" "$MODELS_MOUNT/$prefix" >&2
done
exec python -m pipeline.program trainer_image "$@"

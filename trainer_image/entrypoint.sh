#!/bin/sh
# Mounts the two prefixes of the models bucket that the trainer reads, then runs the trainer.
set -eu
trap 'exit 143' TERM # process 1 has no default action for a signal
export MODELS_MOUNT="${MODELS_MOUNT:-/mnt/models}"
# Each prefix has a mount of its own: gcsfuse looks up every parent folder as an object, and Cloud
# Storage answers 403 for a name that no grant covers. The bucket has no hierarchical namespace, so
# gcsfuse need not ask for one.
for prefix in base releases; do
    mkdir -p "$MODELS_MOUNT/$prefix"
    gcsfuse --implicit-dirs --enable-hns=false --only-dir "$prefix" -o ro \
        "$MODELS_BUCKET" "$MODELS_MOUNT/$prefix" >&2
done
exec python -m pipeline.program trainer_image "$@"

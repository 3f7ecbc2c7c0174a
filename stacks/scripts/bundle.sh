#!/usr/bin/env bash
# The middle step of the release build: make the image that the fetch step laid out, try it as the
# job that posts would run it (MEMORY is that job's), push it.
set -euo pipefail
[ -f image ] || exit 0 # no release yet
image=$(cat image)
docker build --tag "$image" bundle
docker run --rm --network none --memory "$MEMORY" --memory-swap "$MEMORY" --cap-drop ALL \
    --security-opt no-new-privileges "$image" self-test
docker push "$image"

#!/usr/bin/env bash
# The middle step of the release build: builds the image from the context that the step `fetch` wrote,
# tests it with the memory of the posting job (MEMORY), and pushes it.
set -euo pipefail
[ -f image ] || exit 0 # there is no release yet
image=$(cat image)
docker build --tag "$image" bundle
docker run --rm --network none --memory "$MEMORY" --memory-swap "$MEMORY" --cap-drop ALL \
    --security-opt no-new-privileges "$image" self-test
docker push "$image"

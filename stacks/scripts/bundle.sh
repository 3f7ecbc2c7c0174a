#!/usr/bin/env bash
# The middle step of the release build: make the image that the fetch step laid out, try it, push it.
set -euo pipefail
[ -f image ] || exit 0 # no release yet
image=$(cat image)
docker build --tag "$image" bundle
docker run --rm "$image" self-test
docker push "$image"

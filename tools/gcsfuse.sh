#!/usr/bin/env bash
# Builds gcsfuse as the trainer's image does, once per version, and prints the program's path.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "gcsfuse: Go is missing, which builds it" >&2; exit 1; }
module=github.com/googlecloudplatform/gcsfuse/v3
version=$(cd tools/gcsfuse && go list -m -f '{{.Version}}' "$module")
program=$PWD/.cache/gcsfuse/$version/gcsfuse
if [ ! -x "$program" ]; then
    echo "building gcsfuse $version with Go, once (1 to 5 minutes)" >&2
    mkdir -p "$(dirname "$program")"
    # Under another name until it is complete: another process may build it at the same time.
    (cd tools/gcsfuse && CGO_ENABLED=0 go build -trimpath -o "$program.$$" "$module" >&2)
    mv "$program.$$" "$program"
fi
echo "$program"

#!/usr/bin/env bash
# Prints the path of cloud-init, which the tests use to validate the machines' configuration.
# As root on Debian, installs it if it is missing. It stays disabled on this machine.
set -euo pipefail
if ! command -v cloud-init >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    mkdir -p /etc/cloud
    touch /etc/cloud/cloud-init.disabled
    (
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq -o Acquire::Retries=5
        apt-get install -y -qq -o Acquire::Retries=5 --no-install-recommends cloud-init
    ) >&2 || true
fi
command -v cloud-init || {
    echo "cloud-init is missing: install it, on Debian with \`sudo apt-get install cloud-init\`" >&2
    exit 1
}

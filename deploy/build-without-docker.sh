#!/bin/sh
# Builds the image on a Debian or Ubuntu machine without a Docker engine and without an image registry.
#
#     apt-get install debootstrap buildah          (once)
#     deploy/build-without-docker.sh [options of `buildah build`]
#
# A minimal Debian with Python is put together by debootstrap and imported under the name that the Dockerfile begins
# with; the Dockerfile then builds as it is. Run it as root. Options are handed on, for example, where pip needs
# a configuration of its own:  --volume /etc/pip.conf:/etc/pip.conf:ro
#
#     SUITE    Debian release of the base (default trixie, with Python 3.13)
#     MIRROR   Debian mirror (default: debootstrap's)
#     IMAGE    name of the image (default kalshi-ingest)
#
# To run what was built, see docs/operations.md.
set -eu
cd "$(dirname "$0")/.."

suite=${SUITE:-trixie}
image=${IMAGE:-kalshi-ingest}
base=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile | sort -u)

if [ "$(id -u)" != 0 ]; then
    echo "Run this as root: debootstrap makes the device files of the base image." >&2
    exit 2
fi

if ! buildah inspect --type image "localhost/$base" >/dev/null 2>&1; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    # What the Dockerfile expects of its base: `python` with pip, certificates, time zones, names of protocols.
    debootstrap --variant=minbase \
        --include=python3,python3-pip,python-is-python3,ca-certificates,tzdata,netbase \
        "$suite" "$folder" ${MIRROR:+"$MIRROR"}
    rm -rf "$folder"/var/cache/apt/* "$folder"/var/lib/apt/lists/* "$folder"/usr/share/doc/* "$folder"/usr/share/man/* \
        "$folder"/usr/share/locale/*
    container=$(buildah from scratch)
    buildah add "$container" "$folder" /
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python "$container"
    buildah commit --rm "$container" "localhost/$base"
fi

# docker: the other format has no place for a health check.
buildah build --isolation chroot --pull-never --format docker --tag "$image" "$@" .
buildah images "$image"

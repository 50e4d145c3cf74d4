#!/bin/sh
# All that a machine with a GPU is to show, in one run of less than ten minutes: benchmarks/device.sh [OPTION...]
# PYTHON names another interpreter than .venv's. Without a GPU it says so and ends with 2; 124: it took too long.
set -eu
cd "$(dirname "$0")/.."
exec timeout 590 "${PYTHON:-.venv/bin/python}" -m benchmarks.device "$@"

#!/usr/bin/env bash
# The tests of widgets and session with the packages of a Colab runtime: ipywidgets 7.7, ipykernel 6.17, IPython 7.34 and
# plotly 5.24. They are laid over the Python environment that is active and leave it as it is. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
over=$(mktemp -d)
trap 'rm -rf "$over"' EXIT
python -m pip install -q --no-deps --target "$over" \
  ipywidgets==7.7.1 ipython-genutils==0.2.0 anywidget==0.9.21 plotly==5.24.1 tenacity \
  ipykernel==6.17.1 jupyter-client==7.4.9 entrypoints nest-asyncio traitlets==5.7.1 \
  ipython==7.34.0 backcall decorator pickleshare
export PYTHONPATH="$over${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1
python -c 'import ipywidgets, ipykernel; assert ipywidgets.__version__ == "7.7.1" and ipykernel.__version__ == "6.17.1"'
[ $# -gt 0 ] || set -- tests/widgets tests/training/test_session.py
python -m pytest -q -p no:cacheprovider -W ignore::DeprecationWarning "$@"

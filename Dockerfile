# Built nowhere in our tests, which only lint it.
#
#   docker build -t buildkite-elt . && docker run --rm -e BUILDKITE_API_TOKEN -v buildkite:/data buildkite-elt load
#
# The DuckDB file, and dlt's own state and packages that wait, are in the volume.
FROM python:3.13-slim

RUN pip install --no-cache-dir uv==0.13.9

ENV UV_PROJECT_ENVIRONMENT=/app/.venv UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
WORKDIR /app
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --no-install-project
COPY sources sources
COPY pipelines pipelines
RUN uv sync --locked --no-dev --no-editable \
    && useradd --no-create-home --home-dir /data --uid 1000 buildkite \
    && install --directory --owner buildkite /data

ENV PATH=/app/.venv/bin:$PATH HOME=/data
USER 1000
WORKDIR /data
VOLUME /data
ENTRYPOINT ["buildkite-elt"]
CMD ["--help"]

# The worker. Everything that is installed was checked against the hashes of requirements.lock; nothing of the build
# tools reaches the image that runs.

FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN pip wheel --require-hashes --requirement requirements.lock --wheel-dir /wheels
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY famulus famulus
COPY app app
COPY agents agents
COPY tables tables
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-index --find-links /wheels hatchling \
    && /opt/build/bin/python -m hatchling build --target wheel --directory /wheels
# From the checked wheels alone, without an index: what the worker needs, and no more.
RUN python -m venv /opt/famulus \
    && /opt/famulus/bin/pip install --no-index --find-links /wheels "famulus[uvloop]"

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin famulus \
    && install --directory --owner famulus /srv/famulus /srv/famulus/data
COPY --from=build /opt/famulus /opt/famulus
COPY examples /srv/famulus/examples
WORKDIR /srv/famulus
# Nodes that are no installed package are looked for in the working folder.
ENV PATH=/opt/famulus/bin:$PATH \
    PYTHONPATH=/srv/famulus \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FAMULUS_DATA_DIR=/srv/famulus/data \
    FAMULUS_LOG_FORMAT=json
USER famulus
EXPOSE 6066
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:6066/api/v1/health/live', timeout=4)"]
CMD ["famulus", "worker"]

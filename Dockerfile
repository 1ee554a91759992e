# Two stages: the first builds wheels, the second holds nothing but Python, the program and its account.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY kalshi_ingest kalshi_ingest
COPY migrations migrations
RUN python -m venv /opt/kalshi-ingest \
 && /opt/kalshi-ingest/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home kalshi
COPY --from=build /opt/kalshi-ingest /opt/kalshi-ingest
ENV PATH=/opt/kalshi-ingest/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    KALSHI_INGEST_DATA_DIR=/data
USER kalshi
WORKDIR /data
VOLUME /data
# SIGTERM makes a run finish the commit under way and stop with its checkpoint kept.
STOPSIGNAL SIGTERM
ENTRYPOINT ["kalshi-ingest"]
CMD ["--help"]

# The image of retraind. Build: docker build -t retraind .    Run: ./deploy.sh docker, or see docs/operations.md.
ARG BASE=python:3.13-slim

FROM ${BASE} AS builder
ENV PATH=/opt/retraind/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1
# Packages for a PostgreSQL server and an object store, so that one image serves every profile: 40 MB. Empty: neither. There are also notify and dask.
ARG EXTRAS=postgres,s3
# The packages first: this layer is rebuilt only when the lock changes. The secret is optional: a pip.conf for a mirror.
# packages.txt need not exist: further packages, for train.candidates.
COPY requirements*.lock packages.tx[t] /src/
COPY installer /src/installer
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    PYTHONPATH=/src python3 -P -m installer make /opt/retraind /src/requirements.lock --extras "$EXTRAS" --compile \
    --packages /src/packages.txt
COPY pyproject.toml hatch_build.py README.md LICENSE /src/
COPY daemon /src/daemon
COPY web /src/web
COPY retraind /src/retraind
RUN pip install --no-deps --no-build-isolation --no-index /src

FROM ${BASE}
# The data folder is a git repository, and DVC calls git.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 -m 3770 /var/lib/retraind/inbox \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/retraind/outbox /var/lib/retraind/data /var/lib/retraind/logs \
       /var/lib/retraind/registry /var/lib/retraind/registry/tokens \
    && chown 10001:10001 /var/lib/retraind
COPY --from=builder /opt/retraind /opt/retraind
# From within the container, who comes through a published port may look like a program of its own: everybody needs a token.
# USER and HOME are for programs that look up their user: the id may be any, and / may be read-only.
ENV PATH=/opt/retraind/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 \
    HOME=/tmp USER=retraind LOGNAME=retraind \
    ORT_DISABLE_TELEMETRY=1 \
    RETRAIND_SERVER__HOST=0.0.0.0 \
    RETRAIND_SERVER__AUTH=always
USER 10001:10001
WORKDIR /var/lib/retraind
VOLUME ["/var/lib/retraind/inbox", "/var/lib/retraind/outbox", "/var/lib/retraind/data", "/var/lib/retraind/registry", "/var/lib/retraind/logs"]
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-P", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/readyz', timeout=4)"]
ENTRYPOINT ["retraind"]
CMD ["run", "--home", "/var/lib/retraind"]
# Last: what changes with every commit invalidates no layer above.
ARG REVISION=unknown
USER root
RUN echo "$REVISION" >"$(python -P -c 'import retraind; print(retraind.__path__[0])')/commit.txt"
USER 10001
LABEL org.opencontainers.image.title="retraind" \
      org.opencontainers.image.description="Retrains and serves a model from labelled CSV files dropped into a folder." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

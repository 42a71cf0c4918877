# `services`: MLflow and Prefect servers, in the versions of requirements.lock. `worker`: all of the project's packages.
FROM python:3.11.14-slim-bookworm AS services

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=true GX_ANALYTICS_ENABLED=false
COPY requirements.lock /tmp/
# The last two are MLflow's way to PostgreSQL and to S3, which no training needs. They are not in the lock, and pip takes
# hashes for all packages or for none, so that here the lock gives the versions alone.
RUN sed 's/ .*//' /tmp/requirements.lock > /tmp/versions \
    && pip install --constraint /tmp/versions mlflow prefect fastapi psycopg2-binary==2.9.13 boto3==1.44.5
# For whatever user the container runs as.
ENV HOME=/home/asc
RUN mkdir --mode=1777 "$HOME"
WORKDIR /home/asc

FROM services AS worker

RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
RUN pip install --no-deps --require-hashes --requirement /tmp/requirements.lock && pip install torch==2.13.0
# The project itself is the clone that is mounted there.
ENV PYTHONPATH=/asc
WORKDIR /asc

# One image for the API, the worker and the example upstream. The sources run as they are.
#
#   docker build -t nightshift:local . && docker run --rm nightshift:local --help
#
# Temporal's native core needs glibc: no alpine. The base is pinned to a patch release, which Dependabot raises. No digest is pinned, since
# a digest that was never checked against the registry proves nothing: `docker buildx imagetools inspect` shows the one to add.
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM dependencies AS bundle
COPY src ./src
COPY workflows ./workflows
COPY activities ./activities
# A workflow that does not bundle fails here, and not when a worker starts.
RUN node --input-type=module -e "import { workflowBundle } from './src/temporal/workflow-bundle.ts'; await workflowBundle('bundle')"

FROM node:24.21.0-bookworm-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Nightshift" \
  org.opencontainers.image.description="A self-hosted, OpenAI-compatible Batch API" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.base.name="docker.io/library/node:24.21.0-bookworm-slim"
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY deploy/image/nightshift /usr/local/bin/nightshift
COPY bin ./bin
COPY src ./src
COPY workflows ./workflows
COPY activities ./activities
COPY examples ./examples
COPY --from=bundle /app/bundle ./bundle
# A container is reached from outside or not at all. The port for operators stays on loopback, where the health check asks it.
ENV NODE_ENV=production \
  NIGHTSHIFT_API_HOST=0.0.0.0 \
  NIGHTSHIFT_METRICS_PORT=7801 \
  NIGHTSHIFT_WORKER_HTTP_PORT=7801
USER node
# 7800 is the API, 7801 is for operators: /metrics, /health and /ready, of API and worker alike.
EXPOSE 7800 7801
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:7801/ready').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["nightshift"]
CMD ["--help"]

# One image for the API, the worker and the example upstream; the sources run as they are.
# Temporal's native core needs glibc: no alpine.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM dependencies AS bundle
COPY src ./src
COPY workflows ./workflows
COPY activities ./activities
# A workflow that does not bundle fails here, and not when a worker starts.
RUN node --input-type=module -e "import { workflowBundle } from './src/temporal/workflow-bundle.ts'; await workflowBundle('dist')"

FROM node:24-bookworm-slim
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY bin ./bin
COPY src ./src
COPY workflows ./workflows
COPY activities ./activities
COPY examples ./examples
COPY --from=bundle /app/dist ./dist
USER node
ENTRYPOINT ["node"]
CMD ["bin/nightshift.mjs"]

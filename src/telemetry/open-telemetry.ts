import { context, diag, DiagLogLevel, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  RandomIdGenerator,
  type Sampler,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { ownSpanId, type TraceSinks } from '../../workflows/contract.ts';
import type { Sampling } from '../config/tracing-settings.ts';

type WorkflowSpan = Parameters<TraceSinks['spans']['ended']>[0] & { workflowId: string; workflowType: string; runId: string };

/** Exports the spans of workflows, whose ids are decided by their runs. */
export interface WorkflowSpans {
  export(span: WorkflowSpan): void;
}

/** OpenTelemetry, registered for the whole process; `close` sends what is still there. */
export interface OpenTelemetry {
  workflowSpans: WorkflowSpans;
  close(): Promise<void>;
}

/** Registers the SDK, with spans going to `processor` and its complaints to the log. Once per process. */
export function startOpenTelemetry({
  processName,
  processor,
  sampling: { sampler, ratio },
  logger,
}: {
  processName: string;
  processor: SpanProcessor;
  logger: { debug(fields: object, message: string): void; warn(fields: object, message: string): void };
  sampling: Sampling;
}): OpenTelemetry {
  const debug = (message: string, ...details: unknown[]) => logger.debug({ details }, `OpenTelemetry: ${message}`);
  const error = (message: string) => logger.warn({}, `OpenTelemetry: ${message}`);
  diag.setLogger({ error, warn: debug, info: debug, debug, verbose: debug }, DiagLogLevel.WARN);
  const random = new RandomIdGenerator();
  // Spans are begun without an await between, so one place is enough for the id of the next one.
  let nextSpanId: string | null = null;
  const provider = new TracerProvider({
    sampler: samplerOf(sampler, ratio),
    idGenerator: { generateTraceId: () => random.generateTraceId(), generateSpanId: () => nextSpanId ?? random.generateSpanId() },
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': `nightshift-${processName}` }))
      // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before what we call ourselves.
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [processor],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  const tracer = provider.getTracer('nightshift');

  return {
    workflowSpans: {
      export({ workflowId, workflowType, runId, parent, startMs, endMs, isFailed }) {
        const attributes = { 'temporal.workflow.id': workflowId, 'temporal.run.id': runId };
        nextSpanId = ownSpanId(runId);
        try {
          const span = tracer.startSpan(
            `workflow ${workflowType}`,
            { kind: SpanKind.CONSUMER, startTime: startMs, attributes },
            propagation.extract(ROOT_CONTEXT, parent),
          );
          if (isFailed) span.setStatus({ code: SpanStatusCode.ERROR });
          span.end(endMs);
        } finally {
          nextSpanId = null;
        }
      },
    },
    close: async () => await provider.shutdown(),
  };
}

/** Sends spans to the collector that the standard's variables name, in batches. */
export async function exportingProcessor(): Promise<SpanProcessor> {
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
  // A slice of many ends hundreds of spans at once: room for them, else they are dropped.
  return new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), maxQueueSize: 16_384, scheduledDelayMillis: 2_000 });
}

function samplerOf(name: Sampling['sampler'], ratio: number): Sampler {
  switch (name) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
  }
}

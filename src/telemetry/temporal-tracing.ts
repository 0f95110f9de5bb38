import { SpanKind } from '@opentelemetry/api';
import type { WorkflowClientInterceptor } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { ActivityInterceptorsFactory, InjectedSinks } from '@temporalio/worker';
import { TRACE_HEADER, type TraceCarrier, type TraceSinks } from '../../workflows/contract.ts';
import type { WorkflowSpans } from './open-telemetry.ts';
import type { Tracing } from './tracing.ts';

/** Puts the trace of whoever starts a workflow into its header; `workflows/trace.ts` hands it on from there. */
export function traceStarts(tracing: Tracing): WorkflowClientInterceptor {
  return {
    async startWithDetails(input, next) {
      const carrier = tracing.carrier();
      if (carrier['traceparent'] === undefined) return await next(input);
      return await next({ ...input, headers: { ...input.headers, [TRACE_HEADER]: defaultPayloadConverter.toPayload(carrier) } });
    },
  };
}

/** A span for every attempt of an activity that belongs to a trace. */
export function traceActivities(tracing: Tracing): ActivityInterceptorsFactory {
  return ({ info }) => ({
    inbound: {
      async execute(input, next) {
        const payload = input.headers[TRACE_HEADER];
        if (payload === undefined) return await next(input);
        const carrier = { ...defaultPayloadConverter.fromPayload<TraceCarrier>(payload) };
        const attributes = {
          'temporal.activity.id': info.activityId,
          'temporal.activity.attempt': info.attempt,
          'temporal.workflow.id': info.workflowExecution?.workflowId ?? '',
        };
        return await tracing.span({ name: `activity ${info.activityType}`, kind: SpanKind.CONSUMER, attributes, carrier }, () =>
          next(input),
        );
      },
    },
  });
}

/**
 * Takes what workflows tell of their spans. Always needed: a workflow that was started with a trace tells it to any worker, whether that one
 * traces (`spans`) or not (null).
 */
export function traceSinks(spans: WorkflowSpans | null): InjectedSinks<TraceSinks> {
  return {
    spans: {
      ended: {
        fn: ({ workflowId, workflowType, runId }, ended) => spans?.export({ workflowId, workflowType, runId, ...ended }),
        callDuringReplay: false,
      },
    },
  };
}

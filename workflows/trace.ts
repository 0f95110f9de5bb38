import {
  defaultPayloadConverter,
  proxySinks,
  workflowInfo,
  type ContinueAsNewInput,
  type WorkflowInterceptors,
  type WorkflowInterceptorsFactory,
} from '@temporalio/workflow';
import { ownSpanId, TRACE_HEADER, type TraceCarrier, type TraceSinks } from './contract.ts';

const { spans } = proxySinks<TraceSinks>();

/**
 * Hands the trace of whoever started a workflow on to its activities, children and next runs. What is in the history decides and no
 * setting, so that a replay does the same; a workflow that was started without a trace does nothing here.
 */
export const interceptors: WorkflowInterceptorsFactory = (): WorkflowInterceptors => {
  type Headers = ContinueAsNewInput['headers'];
  let came: Headers = {};
  let own: Headers = {};

  return {
    inbound: [
      {
        async execute(input, next) {
          const payload = input.headers[TRACE_HEADER];
          if (payload === undefined) return await next(input);
          const carrier = defaultPayloadConverter.fromPayload<TraceCarrier>(payload);
          came = { [TRACE_HEADER]: payload };
          const traceparent = carrier.traceparent.replace(/(?<=^..-.{32}-).{16}/, ownSpanId(workflowInfo().runId));
          own = { [TRACE_HEADER]: defaultPayloadConverter.toPayload({ ...carrier, traceparent }) };
          const startMs = Date.now();
          let isFailed = true;
          try {
            const result = await next(input);
            isFailed = false;
            return result;
          } catch (error) {
            // The next run goes on: that is no failure.
            isFailed = !(error instanceof Error && error.name === 'ContinueAsNew');
            throw error;
          } finally {
            spans.ended({ parent: carrier, startMs, endMs: Date.now(), isFailed });
          }
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next({ ...input, headers: { ...input.headers, ...own } }),
        startChildWorkflowExecution: (input, next) => next({ ...input, headers: { ...input.headers, ...own } }),
        // Runs of one batch stand side by side.
        continueAsNew: (input, next) => next({ ...input, headers: { ...input.headers, ...came } }),
      },
    ],
  };
};

import {
  type Attributes,
  context,
  type Context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import type { Attempt, Sent } from '../domain/attempt.ts';

/**
 * Spans around what a process does, as plain functions. Off, they call what they are given and nothing else. No body, key or tenant is ever
 * in a span.
 */
export interface Tracing {
  readonly isOn: boolean;
  /** Work within a span of its own; what it throws is noted. */
  span<T>(of: SpanOf, work: () => Promise<T>): Promise<T>;
  /** One try of a request upstream; `send` gets the headers to be sent with it. */
  attempt(of: AttemptOf, send: (traceHeaders: Record<string, string>) => Promise<Sent>): Promise<Sent>;
  /** The trace of what is going on, as W3C headers; empty outside of one. */
  carrier(): Record<string, string>;
}

export interface SpanOf {
  name: string;
  attributes: Attributes;
  kind?: SpanKind;
  /** W3C headers of whoever asked for it; without them the span belongs to what is going on. */
  carrier?: Readonly<Record<string, unknown>>;
  /** Told the span when the work is done, with what is known only then. */
  onEnd?: (span: Span) => void;
}

export interface AttemptOf {
  upstream: string;
  batchId: string;
  line: number;
  /** Counted from 1 over all attempts of the request, as far as this worker knows. */
  attempt: number;
}

/** No tracing: nothing is measured, nothing is sent. */
export const noTracing: Tracing = {
  isOn: false,
  span: (_, work) => work(),
  attempt: (_, send) => send({}),
  carrier: () => ({}),
};

/** Tracing by whatever OpenTelemetry SDK the process has registered. */
export function createTracing(): Tracing {
  const tracer = trace.getTracer('nightshift');

  async function span<T>({ name, attributes, kind = SpanKind.INTERNAL, carrier, onEnd }: SpanOf, work: () => Promise<T>): Promise<T> {
    const parent: Context = carrier === undefined ? context.active() : propagation.extract(ROOT_CONTEXT, carrier);
    const started = tracer.startSpan(name, { kind, attributes }, parent);
    try {
      return await context.with(trace.setSpan(parent, started), work);
    } catch (error) {
      // The class only: messages may quote an upstream.
      started.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' });
      throw error;
    } finally {
      onEnd?.(started);
      started.end();
    }
  }

  function carrier(): Record<string, string> {
    const headers: Record<string, string> = {};
    propagation.inject(context.active(), headers);
    return headers;
  }

  return {
    isOn: true,
    span,
    carrier,
    async attempt({ upstream, batchId, line, attempt }, send) {
      let result: Sent | null = null;
      const attributes = {
        'nightshift.upstream': upstream,
        'nightshift.batch.id': batchId,
        'nightshift.line': line,
        'nightshift.attempt': attempt,
      };
      const onEnd = (ended: Span) => (result === null ? undefined : describe(ended, result.attempt));
      return await span(
        { name: 'upstream attempt', kind: SpanKind.CLIENT, attributes, onEnd },
        async () => (result = await send(carrier())),
      );
    },
  };
}

/** Class and status of an attempt, never a word of the upstream's. */
function describe(span: Span, attempt: Attempt): void {
  span.setAttribute('nightshift.result', attempt.kind === 'failed' ? attempt.code : attempt.kind);
  const status = 'answer' in attempt ? attempt.answer?.status : undefined;
  if (status !== undefined) span.setAttribute('http.response.status_code', status);
  if (attempt.kind === 'failed' || attempt.kind === 'away') span.setStatus({ code: SpanStatusCode.ERROR, message: attempt.kind });
}

/** The samplers of the OpenTelemetry standard. */
export const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

/** Which traces are kept. */
export interface Sampling {
  sampler: (typeof SAMPLERS)[number];
  /** Part of the traces that is kept, 0 to 1. */
  ratio: number;
}

/** What the standard's own variables say of tracing; null where it is off, as it is without an endpoint. The SDK reads the rest itself. */
export function readTracing(env: Readonly<Record<string, string | undefined>>, faults: string[]): Sampling | null {
  const endpoint = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_ENDPOINT'] || '';
  const isOff = env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none';
  if (endpoint === '' || isOff) return null;
  const name = env['OTEL_TRACES_SAMPLER'] || 'parentbased_always_on';
  const sampler = SAMPLERS.find((each) => each === name);
  if (sampler === undefined) faults.push(`OTEL_TRACES_SAMPLER must be one of ${SAMPLERS.join(', ')}, not ${JSON.stringify(name)}`);
  const given = env['OTEL_TRACES_SAMPLER_ARG'] || '1';
  const ratio = /^[01](\.\d+)?$/.test(given) ? Number(given) : Number.NaN;
  if (!(ratio >= 0 && ratio <= 1)) faults.push(`OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not ${JSON.stringify(given)}`);
  return { sampler: sampler ?? 'parentbased_always_on', ratio };
}

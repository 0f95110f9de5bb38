/** A JSON Schema (2020-12), as OpenAPI 3.1 uses it, or any other piece of the description. */
export type Schema = Readonly<Record<string, unknown>>;

/** A named schema of the description. */
export const named = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
export const oneOf = (values: readonly string[]): Schema => ({ type: 'string', enum: values });
export const always = (value: string | boolean): Schema => ({ const: value });
export const text: Schema = { type: 'string' };
export const textOrNull: Schema = { type: ['string', 'null'] };
export const count: Schema = { type: 'integer', minimum: 0 };
export const unixSeconds: Schema = { type: 'integer', minimum: 0, description: 'Unix time in seconds' };
export const unixSecondsOrNull: Schema = { type: ['integer', 'null'], minimum: 0, description: 'Unix time in seconds' };

/** An object of ours: every key is always there. Later versions may add others, so generated clients must let them through. */
export function whole(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', properties, required: Object.keys(properties) };
}

/** A value or null. */
export function orNull(schema: Schema): Schema {
  return { anyOf: [schema, { type: 'null' }] };
}

/** An object that a client sends: further keys are ignored, unless the schema says otherwise. */
export function open(properties: Readonly<Record<string, Schema>>, required: readonly string[]): Schema {
  return { type: 'object', properties, required };
}

/** A page of a list. */
export function listOf(item: string): Schema {
  return whole({
    object: always('list'),
    data: { type: 'array', items: named(item) },
    first_id: textOrNull,
    last_id: textOrNull,
    has_more: { type: 'boolean' },
  });
}

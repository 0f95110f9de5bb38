/** The bucket could not be reached or refused; a later try may work. `operation` and `key` say what was being done. */
export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError';
  readonly operation: string;
  readonly key: string;
  /** It refused to store because the disk or the quota is full. */
  readonly isFull: boolean;

  constructor(operation: string, key: string, cause: unknown, isFull = false) {
    super(`object store: ${operation} ${key} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.operation = operation;
    this.key = key;
    this.isFull = isFull;
  }
}
